# A Rails application for what lib/story.py asks. Who requires it configures the sessions, and calls
# serve with a pattern for their keys.
require 'rails'
require 'action_controller/railtie'
require 'rack/handler/webrick'

class Site < Rails::Application
  config.root = Dir.pwd
  config.paths['log'] = '/dev/null'
  config.eager_load = false
  config.consider_all_requests_local = false
  config.secret_key_base = 'a secret of the site' * 4
  config.logger = ActiveSupport::Logger.new($stderr)
  config.log_level = :warn
  routes.append do
    get 'whoami', to: 'site#answer'
    get 'count', to: 'site#count'
    get 'list', to: 'site#list'
    post 'login', to: 'site#login'
    post 'renew', to: 'site#renew'
    post 'logout', to: 'site#logout'
    post 'clear', to: 'site#clear'
  end
end

class SiteController < ActionController::Base
  def answer
    render json: { user: session[:user], count: session[:count] }
  end

  def login
    session[:user] = params[:user]
    answer
  end

  def count
    session[:count] = (session[:count] || 0) + 1
    answer
  end

  def renew
    request.session_options[:renew] = true
    answer
  end

  def logout
    reset_session
    answer
  end

  def list
    render json: { keys: with_keys { |_redis, keys| keys } }
  end

  def clear
    render json: { deleted: with_keys { |redis, keys| delete(redis, keys) } }
  end

  private

  def delete(redis, keys)
    keys.empty? ? 0 : redis.del(*keys)
  end

  def with_keys
    redis = Redis.new(url: ENV.fetch('REDIS_URL'))
    yield redis, redis.scan_each(match: Rails.configuration.x.session_keys).to_a.uniq
  ensure
    redis&.close
  end
end

def serve
  Site.initialize!
  Rack::Handler::WEBrick.run(Site, Host: '127.0.0.1', Port: Integer(ENV.fetch('PORT')), AccessLog: [])
end

