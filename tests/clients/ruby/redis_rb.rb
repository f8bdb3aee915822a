# Runs one scenario of redis-rb: ruby redis_rb.rb HOST PORT PREFIX SCENARIO. What it raises is the failure.
# frozen_string_literal: true

require 'redis'

HOST, PORT, PREFIX, SCENARIO = ARGV

def same(got, expected)
  raise "got #{got.inspect}, not #{expected.inspect}" unless got == expected
end

# Some hundred records, more than the server keeps in memory.
RECORDS = (0...100).to_h { |number| ["#{PREFIX}#{number}", "\r\n\x00\xFF #{number}".b] }

SCENARIOS = {
  'values' => lambda do |redis|
    same redis.mapped_mset(RECORDS), 'OK'
    same redis.mget(*RECORDS.keys).map(&:b), RECORDS.values
    same redis.set("#{PREFIX}0", 'other'), 'OK'
    same redis.get("#{PREFIX}0"), 'other'
    same redis.get("#{PREFIX}none"), nil
    same redis.exists("#{PREFIX}0", "#{PREFIX}none"), 1
    same redis.strlen("#{PREFIX}0"), 5
    same redis.del(*RECORDS.keys), 100
  end,
  'counters' => lambda do |redis|
    same redis.incr(PREFIX), 1
    same redis.incrby(PREFIX, 41), 42
    same redis.decr(PREFIX), 41
    same redis.incrbyfloat(PREFIX, 0.5), 41.5
    same redis.append(PREFIX, '0'), 5
  end,
  'conditions' => lambda do |redis|
    same redis.set(PREFIX, 'a', nx: true), true
    same redis.set(PREFIX, 'b', nx: true), false
    same redis.set(PREFIX, 'b', xx: true, ex: 100), true
    same redis.set(PREFIX, 'c', get: true), 'b'
    same redis.getdel(PREFIX), 'c'
    same redis.setnx(PREFIX, 'd'), true
  end,
  'expiry' => lambda do |redis|
    same redis.setex(PREFIX, 100, 'a'), 'OK'
    same [99, 100].include?(redis.ttl(PREFIX)), true
    same redis.persist(PREFIX), true
    same redis.ttl(PREFIX), -1
    same redis.expire(PREFIX, 100), true
    same redis.getex(PREFIX, persist: true), 'a'
    same redis.pttl(PREFIX), -1
  end,
  'pipeline' => lambda do |redis|
    answers = redis.pipelined { |pipeline| RECORDS.each { |key, value| pipeline.set(key, value) } }
    same answers, ['OK'] * 100
  end,
  'transaction' => lambda do |redis|
    redis.set(PREFIX, '1')
    answers = redis.watch(PREFIX) do |watched|
      watched.multi { |step| step.incr(PREFIX); step.get(PREFIX) }
    end
    same answers, [2, '2']
    answers = redis.watch(PREFIX) do |watched|
      Redis.new(host: HOST, port: PORT.to_i).set(PREFIX, '5')
      watched.multi { |step| step.set(PREFIX, '6') }
    end
    same answers, nil
    same redis.get(PREFIX), '5'
  end,
  'scan' => lambda do |redis|
    redis.mapped_mset(RECORDS)
    same redis.scan_each(match: "#{PREFIX}*").to_a.uniq.sort, RECORDS.keys.sort
  end,
  'lock' => lambda do |redis|
    release = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end"
    same redis.set(PREFIX, 'mine', nx: true, px: 60_000), true
    same redis.eval(release, keys: [PREFIX], argv: ['other']), 0
    same redis.eval(release, keys: [PREFIX], argv: ['mine']), 1
    same redis.exists?(PREFIX), false
  end,
  'channels' => lambda do |redis|
    heard = []
    redis.subscribe_with_timeout(20, PREFIX) do |on|
      on.subscribe { Redis.new(host: HOST, port: PORT.to_i).publish(PREFIX, 'hello') }
      on.message do |channel, message|
        heard << [channel, message]
        redis.unsubscribe
      end
    end
    same heard, [[PREFIX, 'hello']]
  end,
  'cluster' => lambda do |_redis|
    cluster = Redis.new(cluster: ["redis://#{HOST}:#{PORT}"], timeout: 20)
    RECORDS.each do |key, value|
      same cluster.set(key, value), 'OK'
      same cluster.get(key).b, value
    end
    cluster.close
  end
}.freeze

redis = Redis.new(host: HOST, port: PORT.to_i, timeout: 20)
SCENARIOS.fetch(SCENARIO).call(redis)
redis.close
