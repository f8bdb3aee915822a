{{/* What holds for the pods of both roles. Each takes a dictionary: root, role, port, values (of the role). */}}

{{- define "ckv.needsMysql" -}}
{{- if or (eq .role "secondary") (not .root.Values.zookeeper.enabled) }}yes{{ end -}}
{{- end }}

{{/* Options of a role; those of the values go before all others. */}}
{{- define "ckv.options" -}}
{{- $values := .root.Values -}}
{{- $made := dict "CKV_BIND" "0.0.0.0" -}}
{{- if include "ckv.needsMysql" . -}}
{{- $_ := set $made "CKV_MYSQL_USER" $values.mysql.user -}}
{{- $_ := set $made "CKV_MYSQL_DATABASE" $values.mysql.database -}}
{{- $_ := set $made "CKV_MYSQL_PASSWORD_FILE" "/run/secrets/mysql/password" -}}
{{- if $values.mysql.tls.enabled -}}
{{- $_ := set $made "CKV_MYSQL_TLS" "verify" -}}
{{- $_ := set $made "CKV_MYSQL_TLS_CA" "/run/secrets/mysql-tls/ca.crt" -}}
{{- end -}}
{{- end -}}
{{- if $values.users.enabled -}}
{{- $_ := set $made "CKV_USERS" "/run/secrets/users/users" -}}
{{- $_ := set $made "CKV_NODE_PASSWORD_FILE" "/run/secrets/users/node-password" -}}
{{- $_ := set $made "CKV_USER" "node" -}}
{{- $_ := set $made "CKV_PASSWORD_FILE" "/run/secrets/users/node-password" -}}
{{- end -}}
{{- if $values.tls.enabled -}}
{{- $_ := set $made "CKV_TLS_CERT" "/run/secrets/tls/tls.crt" -}}
{{- $_ := set $made "CKV_TLS_KEY" "/run/secrets/tls/tls.key" -}}
{{- $_ := set $made "CKV_TLS_CA" "/run/secrets/tls/ca.crt" -}}
{{- $_ := set $made "CKV_TLS_NAME" $values.tls.name -}}
{{- end -}}
{{- if $values.monitoring.enabled -}}
{{- $_ := set $made "CKV_HTTP" "0.0.0.0:9121" -}}
{{- end -}}
{{- mergeOverwrite $made .more .values.options | toYaml -}}
{{- end }}

{{- define "ckv.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .values.terminationGracePeriodSeconds }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml . | nindent 4 }}
    labelSelector:
      matchLabels:
        {{- include "ckv.labels" $.role | nindent 8 }}
  {{- end }}
{{- end }}
{{- with include "ckv.secrets" . | fromYamlArray }}
volumes:
  {{- range . }}
  - name: {{ .name }}
    secret:
      secretName: {{ .secretName }}
      defaultMode: 0440
      items:
        {{- range .keys }}
        - key: {{ . }}
          path: {{ . }}
        {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The Secrets that are mounted, at /run/secrets/NAME. */}}
{{- define "ckv.secrets" -}}
{{- $values := .root.Values -}}
{{- if include "ckv.needsMysql" . }}
- {name: mysql, secretName: {{ $values.mysql.secretName }}, keys: [password]}
{{- if $values.mysql.tls.enabled }}
- {name: mysql-tls, secretName: {{ $values.mysql.tls.secretName }}, keys: [ca.crt]}
{{- end }}
{{- end }}
{{- if $values.tls.enabled }}
- {name: tls, secretName: {{ $values.tls.secretName }}, keys: [tls.crt, tls.key, ca.crt]}
{{- end }}
{{- if $values.users.enabled }}
- {name: users, secretName: {{ $values.users.secretName }}, keys: [users, node-password]}
{{- end }}
{{- end }}

{{- define "ckv.container" -}}
name: ckv
image: "{{ .root.Values.image.repository }}:{{ .root.Values.image.tag | default .root.Chart.AppVersion }}"
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
envFrom:
  - configMapRef:
      name: ckv-{{ .role }}
ports:
  - name: ckv
    containerPort: {{ .port }}
  {{- if .root.Values.monitoring.enabled }}
  - name: metrics
    containerPort: 9121
  {{- end }}
securityContext:
  {{- include "ckv.locked" . | nindent 2 }}
startupProbe:
  exec:
    command: [/ckv/ckv, ping, 127.0.0.1, "{{ .port }}"]
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  exec:
    command: [/ckv/ckv, ping, 127.0.0.1, "{{ .port }}", --ready]
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 2
livenessProbe:
  exec:
    command: [/ckv/ckv, ping, 127.0.0.1, "{{ .port }}", --timeout=10s]
  periodSeconds: 20
  timeoutSeconds: 15
  failureThreshold: 6
resources:
  {{- include "ckv.resources" . | nindent 2 }}
{{- with include "ckv.secrets" . | fromYamlArray }}
volumeMounts:
  {{- range . }}
  - name: {{ .name }}
    mountPath: /run/secrets/{{ .name }}
    readOnly: true
  {{- end }}
{{- end }}
{{- end }}

{{/* The memory for its connections, unless the resources say another. */}}
{{- define "ckv.resources" -}}
{{- $memory := ternary .values.memory.tls .values.memory.plain .root.Values.tls.enabled -}}
{{- $made := dict "requests" (dict "memory" $memory) "limits" (dict "memory" $memory) -}}
{{- mergeOverwrite $made .values.resources | toYaml -}}
{{- end }}

{{- define "ckv.podName" -}}
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
