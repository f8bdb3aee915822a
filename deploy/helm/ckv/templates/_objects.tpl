{{/* What every object has. Of a dictionary: root, name, and component where the object is one of its own. */}}
{{- define "ckv.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- with .component }}
  {{- include "ckv.labels" . | nindent 2 }}
  {{- end }}
  app.kubernetes.io/part-of: ckv
{{- end }}

{{/* The labels of the pods of a component, by which they are selected. */}}
{{- define "ckv.labels" -}}
app.kubernetes.io/name: {{ get (dict "database" "mysql" "coordinator" "zookeeper") . | default "ckv" }}
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* The pods of a component, as one of those whom a network policy lets in or out. */}}
{{- define "ckv.pods" -}}
- podSelector:
    matchLabels:
      {{- include "ckv.labels" . | nindent 6 }}
{{- end }}

{{- define "ckv.port" -}}
- protocol: TCP
  port: {{ . }}
{{- end }}

{{- define "ckv.dns" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
      podSelector:
        matchLabels:
          k8s-app: kube-dns
  ports:
    - protocol: UDP
      port: 53
    - protocol: TCP
      port: 53
{{- end }}

{{/* What every container may do: nothing. */}}
{{- define "ckv.locked" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* A volume of each pod. Of a dictionary: storage, storageClassName. */}}
{{- define "ckv.claim" -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .storage }}
{{- end }}

{{/* Where the database is, host:port. */}}
{{- define "ckv.database" -}}
{{- if .Values.mysql.enabled -}}
ckv-mysql:3306
{{- else -}}
{{ required "mysql.address: missing, and mysql.enabled is false" .Values.mysql.address }}
{{- end -}}
{{- end }}

{{/* The way to it, of whoever needs it. */}}
{{- define "ckv.toDatabase" -}}
- to:
    {{- if .Values.mysql.enabled }}
    {{- include "ckv.pods" "database" | nindent 4 }}
    {{- else if .Values.mysql.peers }}
    {{- toYaml .Values.mysql.peers | nindent 4 }}
    {{- else }}
    {{- fail "mysql.peers: missing, and mysql.enabled is false" }}
    {{- end }}
  ports:
    {{- include "ckv.port" (include "ckv.database" . | splitList ":" | last) | nindent 4 }}
{{- end }}
