# What is different where harness.py has the tests run: sourced when test_helper.tcl of Redis or Valkey is.

# A message is a line of two words in hexadecimal digits.
proc send_data_packet {channel status data {elapsed 0}} {
    set words {}
    foreach word [list $status $data] {
        lappend words "x[binary encode hex [encoding convertto utf-8 $word]]"
    }
    puts $channel [join $words]
    flush $channel
}

# What a test that failed left half done (MULTI, an answer that nobody read) is not to fail the next one.
rename test test_of_theirs
proc test {args} {
    set before $::num_failed
    uplevel 1 [list test_of_theirs {*}$args]
    if {$::num_failed != $before} {
        catch {reconnect}
    }
}

# The node stays as it is where it cannot be emptied or set, and what happens between tests counts as a test.
proc run_external_server_test {code overrides} {
    set connect [expr {[info commands ::valkey] eq "" ? "redis" : "valkey"}]
    set client [$connect $::host $::port 0 $::tls]
    lappend ::servers [dict create host $::host port $::port config [dict create port $::port] client $client]
    catch {r flushall}
    foreach {parameter value} $overrides {
        catch {r config set $parameter $value}
    }
    if {[catch {uplevel 2 $code}]} {
        send_data_packet $::test_server_fd between $::errorInfo
    }
    catch {[srv client] close}
    set ::servers [lrange $::servers 0 end-1]
}
