# A Rails application whose sessions are in Rails' cache, in Redis.
require_relative '../lib/rails_site'

Site.configure do
  config.x.session_keys = '_session_id:*'
  # One more attempt: without it, the first request after a restart takes the cache for empty.
  config.cache_store = :redis_cache_store, { url: ENV.fetch('REDIS_URL'), reconnect_attempts: 1 }
  config.session_store :cache_store, key: '_site_session',
                                     expire_after: Integer(ENV.fetch('SESSION_SECONDS'))
end

class SiteController
  private

  def delete(_redis, _keys)
    Rails.cache.delete_matched('_session_id:*')
  end
end
serve
