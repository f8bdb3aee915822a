# Runs one scenario of Perl's module Redis: perl redis.pl HOST PORT PREFIX SCENARIO. What it dies of is the failure.
use strict;
use warnings;

use Redis;

my ($host, $port, $prefix, $scenario) = @ARGV;

sub text { my ($value) = @_; return defined $value ? ref $value ? '[' . join(', ', map { text($_) } @$value) . ']' : "'$value'" : 'undef' }

sub same {
    my ($got, $expected) = @_;
    die 'got ' . text($got) . ', not ' . text($expected) . "\n" if text($got) ne text($expected);
    return;
}

sub connected { return Redis->new(server => "$host:$port", cnx_timeout => 20, read_timeout => 20) }

# Some hundred records, more than the server keeps in memory.
my %records = map { ("$prefix$_" => "\r\n\x00\xff $_") } 0 .. 99;
my @keys = sort keys %records;

my %scenarios = (
    values => sub {
        my ($redis) = @_;
        same($redis->mset(%records), 'OK');
        same([ $redis->mget(@keys) ], [ @records{@keys} ]);
        same($redis->set("${prefix}0", 'other'), 'OK');
        same($redis->get("${prefix}0"), 'other');
        same($redis->get("${prefix}none"), undef);
        same($redis->exists("${prefix}0"), 1);
        same($redis->strlen("${prefix}0"), 5);
        same($redis->del(@keys), 100);
    },
    counters => sub {
        my ($redis) = @_;
        same($redis->incr($prefix), 1);
        same($redis->incrby($prefix, 41), 42);
        same($redis->decr($prefix), 41);
        same($redis->append($prefix, '0'), 3);
    },
    conditions => sub {
        my ($redis) = @_;
        same($redis->set($prefix, 'a', 'NX'), 'OK');
        same($redis->set($prefix, 'b', 'NX'), undef);
        same($redis->set($prefix, 'b', 'XX', EX => 100), 'OK');
        same($redis->getset($prefix, 'c'), 'b');
        same($redis->setnx($prefix, 'd'), 0);
    },
    expiry => sub {
        my ($redis) = @_;
        same($redis->setex($prefix, 100, 'a'), 'OK');
        same(!!($redis->ttl($prefix) =~ /^(?:99|100)$/), !!1);
        same($redis->persist($prefix), 1);
        same($redis->ttl($prefix), -1);
        same($redis->expire($prefix, 100), 1);
    },
    pipeline => sub {
        my ($redis) = @_;
        my @answers;
        $redis->set($_ => $records{$_}, sub { push @answers, $_[0] }) for @keys;
        $redis->wait_all_responses;
        same(\@answers, [ ('OK') x 100 ]);
    },
    transaction => sub {
        my ($redis) = @_;
        $redis->set($prefix, 1);
        $redis->watch($prefix);
        same($redis->multi, 'OK');
        same($redis->incr($prefix), 'QUEUED');
        same($redis->get($prefix), 'QUEUED');
        same([ $redis->exec ], [ 2, 2 ]);
        $redis->watch($prefix);
        connected()->set($prefix, 5);
        $redis->multi;
        $redis->set($prefix, 6);
        same(scalar $redis->exec, undef);
        same($redis->get($prefix), 5);
    },
    scan => sub {
        my ($redis) = @_;
        $redis->mset(%records);
        my %found;
        my $cursor = 0;
        do {
            ($cursor, my $some) = $redis->scan($cursor, MATCH => "$prefix*");
            $found{$_} = 1 for @$some;
        } while ($cursor);
        same([ sort keys %found ], \@keys);
    },
    channels => sub {
        my ($redis) = @_;
        my @heard;
        $redis->subscribe($prefix, sub { my ($message, $channel) = @_; push @heard, $channel, $message });
        same(connected()->publish($prefix, 'hello'), 1);
        $redis->wait_for_messages(20) while !@heard;
        same(\@heard, [ $prefix, 'hello' ]);
    },
);

my $run = $scenarios{$scenario} or die "no scenario '$scenario'\n";
$run->(connected());
