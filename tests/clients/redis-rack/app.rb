# A Rack app whose sessions redis-rack keeps in Redis.
require 'json'
require 'rack'
require 'rack/handler/webrick'
require 'redis-rack'

STORE = Redis::Store::Factory.create("#{ENV.fetch('REDIS_URL')}/rack:session")

# Without the namespace, which the store would put before a pattern, but not take off again.
def all_keys
  redis = Redis.new(url: ENV.fetch('REDIS_URL'))
  redis.scan_each(match: 'rack:session:*').to_a.uniq
ensure
  redis&.close
end

def clear
  bare = all_keys.map { |key| key.delete_prefix('rack:session:') }
  bare.empty? ? 0 : STORE.del(*bare)
end

def answer(route, request)
  session = request.session
  case route
  when 'GET /list' then return { keys: all_keys }
  when 'POST /clear' then return { deleted: clear }
  when 'POST /login' then session['user'] = request.params['user']
  when 'GET /count' then session['count'] = session.fetch('count', 0) + 1
  when 'POST /renew' then session.options[:renew] = true
  when 'POST /logout' then session.destroy
  end
  { user: session['user'], count: session['count'] }
end

site = lambda do |env|
  request = Rack::Request.new(env)
  body = JSON.generate(answer("#{request.request_method} #{request.path_info}", request))
  [200, { 'Content-Type' => 'application/json' }, [body]]
end

app = Rack::Session::Redis.new(site, redis_store: STORE, expire_after: Integer(ENV.fetch('SESSION_SECONDS')))
Rack::Handler::WEBrick.run(app, Host: '127.0.0.1', Port: Integer(ENV.fetch('PORT')), AccessLog: [])
