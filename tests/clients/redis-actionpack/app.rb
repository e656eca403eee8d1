# A Rails application whose sessions redis-actionpack keeps in Redis.
require_relative '../lib/rails_site'
require 'redis-actionpack'

Site.configure do
  config.x.session_keys = 'session:*'
  config.session_store :redis_store, servers: ["#{ENV.fetch('REDIS_URL')}/session"], key: '_site_session',
                                     expire_after: Integer(ENV.fetch('SESSION_SECONDS'))
end
serve
