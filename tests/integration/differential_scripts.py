"""The scripts of test_scripts_differential.py: what redis-server 7.0 and respgres must answer alike, to the byte.

SCRIPTS: (script, keys, arguments); each runs on both servers in this order. A text alone has no keys.
What is left out: what crashes redis-server (`error({})`), tables' addresses, math.random without a seed,
the libraries struct and cmsgpack, and commands over the whole keyspace."""

import hashlib

VALUES = [
    "return 1", "return -1", "return 1.9", "return -1.9", "return 1e15", "return 1e300", "return 0/0", "return 2^53",
    "return 'a'", "return ''", "return 'a\\0b'", "return true", "return false", "return nil", "return", "",
    "return {}", "return {1,2,3}", "return {1,nil,3}", "return {nil}", "return {1,'a',true,false,3}", "return {{1,{2}},3}",
    "return {a=1}", "return {1,a=2}", "return {ok='fine'}", "return {ok='two\\r\\nlines'}", "return {ok=1}", "return {err='ERR x'}",
    "return {err='MY x'}", "return {err='x'}", "return {err='two\\nlines'}", "return {err=1}", "return {err='a', ok='b'}",
    "return {double=3.5}", "return {double='x'}", "return {double=1e100}", "return {map={a=1}}", "return {map={}}",
    "return {set={a=true}}", "return {set={}}", "return {big_number='123'}", "return {big_number='12\\r\\n+3'}",
    "return {verbatim_string={string='x',format='txt'}}",
    "return {verbatim_string={string='x',format='long'}}", "return {verbatim_string={string='x',format='a\\0b'}}",
    "return {verbatim_string={string='x'}}", "return function() end", "return 'x', 'y'", "return {{ok='a'},{err='b'}}",
    "return {map={a={1,2}}}", "return tostring(1)", "return tostring(1.5)", "return tostring(1e100)", "return 1 == 1.0",
    "return redis.status_reply('x')", "return redis.error_reply('x')", "return redis.error_reply('x y')",
    "return redis.error_reply('-x y')", "return redis.error_reply('-x')", "return redis.error_reply('')",
    "return redis.error_reply('ERR x')", "return redis.error_reply()", "return redis.error_reply(1)",
    "return redis.error_reply('a','b')", "return redis.status_reply()", "return redis.status_reply(1)",
    "return redis.error_reply('a\\r\\nb c')", "return redis.sha1hex('x')", "return redis.sha1hex('')", "return redis.sha1hex(1)",
    "return redis.sha1hex()", "return redis.sha1hex('a','b')", "return #redis.sha1hex(('x'):rep(1000))",
    "redis.setresp(3) return true", "redis.setresp(3) return false", "redis.setresp(3) return {true,false,nil}",
    "redis.setresp(2) return true", "redis.setresp(4)", "redis.setresp(1)", "redis.setresp()", "redis.setresp('3') return true",
    "redis.setresp('x')", "redis.setresp(3,3)",
    "local t={} local u=t for i=1,100 do u[1]={} u=u[1] end return t",
    "local t={} for i=1,2000 do t[i]=i end return t", "return {1,2,3,{4,5,{6}}}", "return (function() return 5 end)()",
    "return {('x'):rep(100),('y'):rep(100)}", "return setmetatable({},{__index=function() return 1 end})",
    "return setmetatable({1,2},{__tostring=function() return 'x' end})",
]

ERRORS = [
    "error('x')", "error('x',0)", "error('x',2)", "error()", "error(nil)", "error(5)", "error(true)", "error({err='My Err'})",
    "error({err='A b',line='7',source='q'})", "error(redis.error_reply('FOO bar'))", "x = 1", "return x", "_G.x = 1", "return _G.x",
    "function f() end", "string.x = 1", "redis.x = 1", "rawset(_G,'a',1)", "setmetatable(_G,{})", "table.insert(string,1)",
    "setmetatable(string,{})", "rawset(redis,'x',1)", "return print", "return os.time()", "return io", "return require", "return debug",
    "return dofile", "return loadfile", "return getfenv", "return setfenv", "return newproxy", "return module",
    "a b", "return 'x", "for", "return (", "\nx", "\n\nerror('y')", "local x = nil; return x.y", "return nil .. 1", "return {} + 1",
    "return #5", "return 1 < 'x'", "return {} < {}", "return nope()", "local t = {} t.x.y = 1", "return ('x'):nope()",
    "return redis.call()", "return redis.pcall()", "return redis.call({})", "return redis.call('get',{})", "return redis.call('get',true)",
    "return redis.call('get',nil)", "return redis.call('nosuch')", "return redis.pcall('nosuch')", "return redis.call('get')",
    "return redis.pcall('get')", "return redis.call('set','x')", "return redis.call('object','xx')", "return redis.call('object')",
    "return redis.call('multi')", "return redis.call('exec')", "return redis.call('watch','x')", "return redis.call('eval','return 1',0)",
    "return redis.call('evalsha','x',0)", "return redis.call('script','load','x')", "return redis.call('config','get','x')",
    "return redis.call('client','id')", "return redis.call('hello')", "return redis.call('auth','x')", "return redis.call('monitor')",
    "return redis.call('debug','sleep',0)", "return redis.call('shutdown')", "return redis.call('acl','whoami')",
    "return redis.call('replicaof','no','one')", "return redis.call('save')",
    "return redis.call('quit')", "return redis.call('reset')", "return redis.call('latency','reset')",
    "return redis.call('discard')", "return redis.call('select','x')", "return redis.call('select',99)",
    "return redis.pcall('select',99)", "redis.log(1)", "redis.log()", "redis.log('x','y')", "redis.log(9,'x')", "redis.log(-1,'x')",
    "return redis.set_repl()", "return redis.set_repl(9)", "return redis.set_repl(redis.REPL_ALL)", "return redis.set_repl(0)",
    "return redis.replicate_commands()", "return redis.breakpoint()", "return redis.debug('x')", "return redis.acl_check_cmd()",
    "return redis.acl_check_cmd('x')", "return redis.acl_check_cmd('set')", "return redis.acl_check_cmd('set','a','b')",
    "return redis.acl_check_cmd({})", "return redis.acl_check_cmd('config','get')", "return redis.acl_check_cmd('config|get','x')",
    "assert(false)", "assert(false,'m')", "assert(nil,'m')", "assert(1)", "return assert(5,6)",
    "return math.random(0)", "return math.random(2,1)", "return math.random(1,2,3)", "return math.random('x')",
    "return string.rep()", "return ('x'):rep('y')", "return string.rep('x',-1)", "return ('x'):rep(3)", "return #string.rep('ab',1000)",
    "return pcall(error,'x')", "return select(2,pcall(error,'x'))", "return select(2,pcall(redis.call,'get')).err",
    "local a,b=pcall(redis.call,'get') return tostring(a)..b.err", "local t=redis.pcall('get') return {t.err,t.ok}",
    "local t=redis.pcall('get') local n={} for k in pairs(t) do n[#n+1]=k end table.sort(n) return n",
    "redis.call('del','lst') redis.call('lpush','lst',1) local t=redis.pcall('get','lst') local n={} for k,v in pairs(t) do n[#n+1]=k..tostring(v) end table.sort(n) return n",
    "redis.call('set','str','x') return redis.call('lpush','str',1)", "return redis.pcall('lpush','str',1)",
    "return redis.pcall('incr','str')", "return redis.call('incr','str')",
    "return select(2, xpcall(function() error('a') end, function(e) return e..'b' end))",
    "return select(2, pcall(function() redis.call('incr','str') end)).err", "pcall(redis.call,'incr','str') return 7",
    "local ok, e = pcall(redis.call,'incr','str') error(e)", "local e = redis.pcall('incr','str') return e",
    "error(redis.pcall('incr','str'))", "local function f() error('deep') end local function g() f() end g()",
    "local function f() redis.call('incr','str') end\nlocal function g()\nf()\nend\ng()",
    "local function f() return f() + 1 end return f()", "return unpack({},1,1e8)", "return {unpack({1,2,3})}",
    "return select('#',unpack({1,nil,3},1,3))", "loadstring('x=1')()", "return loadstring('return 1')()", "return loadstring('a b')",
    "return select(2, loadstring('a b'))", "return load(function() return nil end)", "return loadstring('return ...','n')(5)",
    "loadstring('error(\"x\")','@named')()", "loadstring('\\n\\nerror(\"x\")')()", "return select(2,loadstring('x y','=chunk'))",
    "coroutine.wrap(function() error('in co') end)()", "coroutine.wrap(function() redis.call('get') end)()",
    "local co=coroutine.create(function() error('x') end) return {tostring(coroutine.resume(co))}",
    "local co=coroutine.create(function() error('x') end) return select(2,coroutine.resume(co))",
    "local co=coroutine.create(function(a) local b=coroutine.yield(a+1) return b*2 end) local _,x=coroutine.resume(co,1) local _,y=coroutine.resume(co,10) return {x,y,coroutine.status(co)}",
    "local co=coroutine.create(function() end) coroutine.resume(co) return select(2,coroutine.resume(co))",
    "return coroutine.yield(1)", "return coroutine.resume(5)", "return coroutine.wrap(5)", "return coroutine.running() == nil",
    "return select(2, coroutine.resume(coroutine.create(function() return coroutine.status(coroutine.running()) end)))",
]

LIBRARIES = [
    "return string.format('%5.2f|%d|%s|%q|%x|%5s|%-5s|', 3.14159, 42, 'x', 'a\\nb\"', 255, 'r', 'l')", "return string.format('%s', nil)",
    "return string.format('%d','x')", "return string.format('%y')", "return ('%5d'):format(3)", "return string.byte('abc',1,-1)",
    "return {string.byte('abc',1,-1)}", "return string.char(72,105)", "return string.char(256)", "return ('abc'):upper()",
    "return ('ABC'):lower()", "return ('abc'):reverse()", "return ('abc'):len()", "return ('hello'):sub(2,-2)", "return ('hello'):sub(-3)",
    "return {('hello'):find('l')}", "return {('hello'):find('l',4)}", "return {('hello'):find('xyz')}", "return {('hello'):find('')}",
    "return {('hello'):find('',10)}", "return {('hello'):find('l',-2)}", "return {('a.b'):find('.',1,true)}", "return {('a+b'):find('+',1,true)}",
    "return {('key:val'):match('(%w+):(%w+)')}", "return ('  x '):match('^%s*(.-)%s*$')", "return {('2024-01-02'):match('(%d+)-(%d+)-(%d+)')}",
    "return ('x'):match('y')", "return {('abc'):match('()b()')}", "return ('[x]'):match('%[(.-)%]')", "return ('a\\0b'):match('%z')",
    "return {('f(a(b)c)'):find('%b()')}", "return ('THE (quick) fox'):find('%f[%a]%a+')", "return {('abcabc'):find('(abc)%1')}",
    "return {('hello'):gsub('l','L')}", "return {('hello'):gsub('l','L',1)}", "return {('hello'):gsub('','-')}", "return {('hello'):gsub('.','%0%0')}",
    "return {('a b'):gsub('%w','%%%0')}", "return {('$name'):gsub('%$(%w+)',{name='x'})}", "return {('abc'):gsub('%w',function(c) return c..'.' end)}",
    "return {('abc'):gsub('%w',function(c) if c=='b' then return false end return 'x' end)}", "return ('abc'):gsub('%w',function() return {} end)",
    "return ('abc'):gsub('(','x')", "return ('abc'):gsub('%','x')", "return ('abc'):gsub('[a','x')", "return ('abc'):gsub('a','%2')",
    "return ('abc'):gsub('a','%1')", "return ('abc'):gsub('a',5)", "return ('abc'):gsub('a',nil)", "return ('abc'):gsub('^a','x')",
    "return ('aaa'):gsub('^a','x')", "return {('abc'):gsub('b*','x')}", "return ('x'):rep(2):gsub('x','%9')", "return ('a-b'):gsub('-','+')",
    "local t={} for w in ('one two three'):gmatch('%a+') do t[#t+1]=w end return t", "local t={} for k,v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do t[#t+1]=k..v end return t",
    "local t={} for w in ('abc'):gmatch('') do t[#t+1]='x'..w end return t", "local n=0 for a,b in ('k=v'):gfind('(k)(=)') do n=n+1 end return n",
    "return ('abc'):find('b',1,2,3)", "return ('abc'):match('%a+',2)", "return ('abc'):match('((a)(b))')", "return {('abc'):match('((a)(b))')}",
    "return ('a,b,,c'):gsub(',,',',nil,')", "return ('%d'):gsub('%%d','x')", "return ('A1b2'):gsub('%u','u'):gsub('%d','d')",
    "return ('x^y'):find('x^y')", "return ('x$'):find('$')", "return ('x$y'):match('$y')", "return ('a]b'):match('[]]')", "return ('a-b'):match('[a-]+')",
    "return ('a-z'):match('[%a-z]+')", "return ('\\n\\t '):match('^%s+$') ~= nil", "return ('ff'):match('^%x+$')", "return ('é'):len()",
    "return ('é'):match('%a')", "return ('éa'):match('%W')", "return string.find('abc','[b-a]')", "return ('x'):find(('x?'):rep(20)..('x'):rep(20))",
    "return table.concat({1,2,'x'},',')", "return table.concat({1,2,3},',',2,3)", "return table.concat({{}},',')", "return table.concat({1,nil,3},',')",
    "local t={3,1,2} table.sort(t) return t", "local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t", "local t={'b',1} table.sort(t) return t",
    "local t={1,2,3} table.insert(t,4) table.insert(t,1,0) return t", "local t={1,2,3} return {table.remove(t),table.remove(t,1),#t}",
    "return table.getn({1,2,3})", "return table.maxn({1,2,[10]=3})", "local s=0 table.foreach({1,2},function(i,v) s=s+v end) return s",
    "local s='' table.foreachi({1,2},function(i,v) s=s..i..v end) return s", "table.insert({},1,2,3)", "table.insert({})", "table.insert(5,1)",
    "return unpack({1,2,3},2)", "return {select(2,'a','b','c')}", "return select('#',1,nil,nil)", "return select(0)", "return {select(-1,1,2)}",
    "return tonumber('0x10')", "return tonumber('10',2)", "return tonumber('zz',36)", "return tonumber('x')", "return tonumber(' 5 ')", "return tonumber('1e2')",
    "return tonumber(nil)", "return tonumber()", "return type(nil)", "return type()", "return type(redis.call)", "return tostring(nil)", "return tostring()",
    "local n=0 for i,v in ipairs({1,2,nil,4}) do n=n+v end return n", "local n=0 for k,v in pairs({1,2,a=3}) do n=n+v end return n", "return next({})",
    "return {next({5})}", "return rawget({a=1},'a')", "return rawequal('a','a')", "local t={} rawset(t,'x',1) return t.x", "return pairs(5)", "return ipairs()",
    "return math.floor(1.5)", "return math.ceil(1.2)", "return math.max(1,5,3)", "return math.min(4,2)", "return math.abs(-3)", "return math.fmod(7,3)",
    "return tostring(math.pi)", "return tostring(math.sqrt(2))", "return math.pow(2,10)", "return tostring(math.huge)", "return {math.modf(3.7)}",
    "return tostring(math.log(10))", "return math.ldexp(1,4)", "return {math.frexp(8)}", "return math.mod(7,3)", "return math.deg(math.pi)",
    "math.randomseed(0) return {math.random(1000),math.random(1000),math.random(5,10)}", "math.randomseed(42) return {math.random(100),tostring(math.random())}",
    "math.randomseed(-7) return {math.random(1000000)}", "math.randomseed(1.5) return math.random(1000)", "math.randomseed()",
    "return bit.band(0xff,0x0f)", "return bit.bor(1,2,4)", "return bit.bxor(5,1)", "return bit.bnot(0)", "return bit.lshift(1,31)", "return bit.rshift(-1,28)",
    "return bit.arshift(-8,1)", "return bit.rol(1,1)", "return bit.ror(1,1)", "return bit.bswap(1)", "return bit.tohex(255)", "return bit.tohex(255,4)",
    "return bit.tobit(2^32+1)", "return bit.band('x')", "return bit.band()",
    "return cjson.encode({})", "return cjson.encode({1,2,3})", "return cjson.encode({a=1})", "return cjson.encode({1,2,[5]=3})", "return cjson.encode({[1]=1,[100]=2})",
    "return cjson.encode('a\\n\"\\\\\\0/')", "return cjson.encode(1.5)", "return cjson.encode(1e100)", "return cjson.encode(0.1)", "return cjson.encode(true)",
    "return cjson.encode(nil)", "return cjson.encode(cjson.null)", "return cjson.encode(function() end)", "return cjson.encode({f=function() end})",
    "return cjson.encode(0/0)", "return cjson.encode(1/0)", "return cjson.encode()", "return cjson.encode({{{}}})", "return cjson.encode({a={b={c={1}}}})",
    "return cjson.decode('[1,2,3]')", "return cjson.decode('{\"a\":1}').a", "return cjson.decode('\"x\\\\u00e9\\\\n\"')", "return cjson.decode('null')==cjson.null",
    "return cjson.decode('[null]')[1]==cjson.null", "return cjson.decode('true')", "return cjson.decode('1.5e3')", "return cjson.decode('[1')",
    "return cjson.decode('{\"a\"}')", "return cjson.decode('')", "return cjson.decode('nul')", "return cjson.decode('[1,]')", "return cjson.decode('[1]x')",
    "return cjson.decode()", "return cjson.decode('\"\\\\ud83d\\\\ude00\"')", "return cjson.decode('\"\\\\ud83d\"')", "return cjson.decode('0x10')", "return cjson.decode('NaN') ~= nil",
    "return cjson.decode(('['):rep(2000))", "local t={} for i=1,1100 do t={t} end return cjson.encode(t)", "return cjson._VERSION", "return cjson._NAME",
    "return cjson.encode(cjson.decode('{\"x\":[1,2,{\"y\":null}],\"z\":\"q\"}')) ~= nil", "return #cjson.encode(('x'):rep(10000))", "local j=cjson.new() return j.encode({1})",
    "return _VERSION", "return redis.REDIS_VERSION", "return redis.REDIS_VERSION_NUM", "return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}",
    "return {redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}", "return type(collectgarbage('count'))", "return collectgarbage('nope')",
    "return gcinfo() > 0", "local t=setmetatable({},{__index={a=5}}) return t.a", "local t=setmetatable({},{__newindex=function(t,k,v) rawset(t,k,v*2) end}) t.x=4 return t.x",
    "local t=setmetatable({},{__call=function(_,a) return a+1 end}) return t(1)", "local t=setmetatable({},{__eq=function() return true end}) return t==setmetatable({},getmetatable(t))",
    "local t=setmetatable({},{__metatable='locked'}) return getmetatable(t)", "local t=setmetatable({},{__metatable='locked'}) setmetatable(t,{})",
    "return setmetatable(1,{})", "local t=setmetatable({},{__concat=function() return 'c' end}) return t..'x'", "local t=setmetatable({},{__len=function() return 9 end}) return #t",
    "local t=setmetatable({},{__lt=function() return true end}) return t<t", "local t=setmetatable({},{__unm=function() return 3 end}) return -t",
    "local n=0 for i=10,1,-3 do n=n+i end return n", "local i=0 repeat i=i+1 until i>=5 return i", "local s=0 for i=1,10 do if i==5 then break end s=s+i end return s",
    "local function f(...) return select('#',...) end return f(1,nil,3)", "local a,b,c=(function() return 1,2 end)() return {a,b,c or 'nil'}", "return 7%3", "return -7%3",
    "return 2^10", "return 7/2", "return '10'+5", "return 10 ..''", "return not nil", "return 1 and 2", "return nil or 'x'", "return #'abc'", "return #{1,2,3}",
    "return [[\nlong]]", "return '\\65\\066'", "return 0x1F", "return 1e2", "--[[c]] return 1 -- d", "local x <const> = 1", "goto a", "return 1;",
]


def keys(script, k, *args):
    return (script, k, list(args))


K = ["k1", "k2", "k3"]
CALLS_OF_KEYS = [
    keys("return redis.call('set',KEYS[1],ARGV[1])", K, "v"), keys("return redis.call('get',KEYS[1])", K),
    keys("return {KEYS,ARGV}", K, "a", "b"), keys("return {#KEYS,#ARGV}", []), keys("return KEYS[4]", K), keys("return ARGV[1]", []),
    keys("KEYS[1]='x' return KEYS", K), keys("KEYS=nil return 1", K), keys("return KEYS", K), keys("ARGV[1]=nil return ARGV", K, "a", "b"),
    keys("return redis.call('set',KEYS[1],1.5)", K), keys("return redis.call('get',KEYS[1])", K), keys("return redis.call('set',KEYS[1],0.1)", K),
    keys("return redis.call('get',KEYS[1])", K), keys("return redis.call('set',KEYS[1],10)", K), keys("return redis.call('incrby',KEYS[1],5)", K),
    keys("return redis.call('set',KEYS[1],1e20)", K), keys("return redis.call('get',KEYS[1])", K), keys("return redis.call('incr',KEYS[1])", K),
    keys("return redis.call('del',KEYS[1],KEYS[2],KEYS[3])", K), keys("return redis.call('get',KEYS[1])==false", K), keys("redis.setresp(3) return redis.call('get',KEYS[1])==nil", K),
    keys("return redis.call('hset',KEYS[1],'f','v','g','w')", K), keys("return redis.call('hget',KEYS[1],'f')", K), keys("return redis.call('hgetall',KEYS[1])", K),
    keys("redis.setresp(3) return redis.call('hgetall',KEYS[1])", K), keys("redis.setresp(3) return redis.call('hgetall',KEYS[1]).map.f", K), keys("redis.setresp(3) return redis.call('hmget',KEYS[1],'f','x')", K),
    keys("return redis.call('hmget',KEYS[1],'f','x')", K), keys("return redis.call('hincrbyfloat',KEYS[1],'n',1.25)", K), keys("return redis.call('type',KEYS[1])", K),
    keys("return redis.call('type',KEYS[1]).ok", K), keys("return redis.call('sadd',KEYS[2],'a')", K), keys("return redis.call('smembers',KEYS[2])", K),
    keys("redis.setresp(3) return redis.call('smembers',KEYS[2])", K), keys("redis.setresp(3) return redis.call('smembers',KEYS[2]).set.a", K), keys("return redis.call('sismember',KEYS[2],'a')", K),
    keys("redis.setresp(3) return redis.call('smismember',KEYS[2],'a','b')", K), keys("return redis.call('zadd',KEYS[3],1.5,'m',2,'n')", K), keys("return redis.call('zrange',KEYS[3],0,-1,'withscores')", K),
    keys("redis.setresp(3) return redis.call('zrange',KEYS[3],0,-1,'withscores')", K), keys("return redis.call('zscore',KEYS[3],'m')", K), keys("redis.setresp(3) return redis.call('zscore',KEYS[3],'m')", K),
    keys("redis.setresp(3) return redis.call('zscore',KEYS[3],'m').double", K), keys("redis.setresp(3) return redis.call('zscore',KEYS[3],'x')", K), keys("return redis.call('zincrby',KEYS[3],1,'m')", K),
    keys("return redis.call('zrangebyscore',KEYS[3],'-inf','+inf')", K), keys("redis.setresp(3) return redis.call('zmscore',KEYS[3],'m','x')", K), keys("return redis.call('zpopmin',KEYS[3])", K),
    keys("return redis.call('rpush','list','a','b','c')", []), keys("return redis.call('lrange','list',0,-1)", []), keys("return redis.call('lpop','list',2)", []), keys("return redis.call('llen','list')", []),
    keys("return redis.call('lpos','list','c')", []), keys("return redis.call('lmpop',1,'list','left')", []), keys("return redis.call('lmpop',1,'list','left')", []), keys("redis.setresp(3) return redis.call('lmpop',1,'list','left')", []),
    keys("return redis.call('setex',KEYS[1],100,'v')", K), keys("return redis.call('ttl',KEYS[1])", K), keys("return redis.call('persist',KEYS[1])", K), keys("return redis.call('expire',KEYS[1],0)", K),
    keys("return redis.call('exists',KEYS[1])", K), keys("return redis.call('set',KEYS[1],'x','NX','EX',100)", K), keys("return redis.call('set',KEYS[1],'x','NX')", K), keys("return redis.call('set',KEYS[1],'y','GET')", K),
    keys("return redis.call('getdel',KEYS[1])", K), keys("return redis.call('append',KEYS[1],'ab')", K), keys("return redis.call('strlen',KEYS[1])", K), keys("return redis.call('getrange',KEYS[1],0,0)", K),
    keys("return redis.call('mset',KEYS[1],'1',KEYS[2],'2')", K), keys("return redis.call('mget',KEYS[1],KEYS[2],'none')", K), keys("redis.setresp(3) return redis.call('mget',KEYS[1],'none')", K),
    keys("return redis.call('ping')", []), keys("return redis.call('PING','x')", []), keys("return redis.call('echo','x')", []), keys("return redis.call('echo',0.1)", []), keys("return redis.call('echo',1e20)", []),
    keys("return redis.call('echo',-0.0)", []), keys("return redis.call('echo',1/0)", []), keys("return redis.call('echo',123456789012)", []), keys("return #redis.call('time')", []), keys("return redis.call('lolwut') ~= nil", []),
    keys("redis.call('select',1) redis.call('set','in1','x') redis.call('select',0) return redis.call('get','in1')", []), keys("redis.call('select',1) return redis.call('get','in1')", []), keys("return redis.call('get','in1')", []),
    keys("redis.call('select',1) return redis.call('del','in1')", []), keys("return redis.call('copy',KEYS[1],'copied','db',2)", K), keys("redis.call('select',2) return redis.call('getdel','copied')", []),
    keys("local r = {} for i=1,20 do r[i]=redis.call('incr','counter') end return r", []), keys("for i=1,50 do redis.call('rpush','many',i) end return redis.call('llen','many')", []),
    keys("local r={} for i=1,30 do redis.call('set','u'..i,i) end for i=1,30 do r[i]=redis.call('get','u'..i) end return r", []), keys("for i=1,30 do redis.call('del','u'..i) end return redis.call('exists','u1','u2')", []),
    keys("local a=redis.call('get','chain1') if not a then redis.call('set','chain1','chain2') return 'first' end return redis.call('get',a)", []),
    keys("local a=redis.call('get','chain1') redis.call('set',a,'deep') return redis.call('get',redis.call('get','chain1'))", []),
    keys("redis.call('set',KEYS[1],'before') error('after')", K), keys("return redis.call('get',KEYS[1])", K), keys("redis.call('set',KEYS[1],'b2') redis.call('incr',KEYS[1])", K), keys("return redis.call('get',KEYS[1])", K),
    keys("redis.pcall('incr',KEYS[1]) redis.call('set',KEYS[1],'b3') return redis.call('get',KEYS[1])", K), keys("return redis.call('object','encoding',KEYS[1])", K), keys("return redis.call('object','help')[1]", []),
    keys("return redis.call('sort','many','limit',0,3,'desc')", []), keys("return redis.call('rename',KEYS[1],'renamed')", K), keys("return redis.call('rename',KEYS[1],'x')", K), keys("return redis.call('get','renamed')", []),
    keys("return redis.call('setbit',KEYS[1],7,1)", K), keys("return redis.call('bitcount',KEYS[1])", K), keys("return redis.call('bitfield',KEYS[1],'get','u8',0)", K), keys("return redis.call('del',KEYS[1],KEYS[2],KEYS[3],'renamed')", K),
    keys("return redis.call('command','count') > 0", []), keys("return redis.call('info','server') ~= ''", []), keys("return redis.call('touch',KEYS[1])", K), keys("return redis.call('unlink',KEYS[1])", K),
    keys("return redis.call('lcs','counter','counter')", []), keys("return redis.call('randomkey') == false", []) if False else keys("return 1", []),
]

SHEBANGS = [
    "#!lua\nreturn 1", "#!lua flags=\nreturn 1", "#!lua flags=no-writes\nreturn 2", "#!lua flags=no-writes,allow-oom\nreturn redis.call('set','a',1)",
    "#!lua flags=no-writes\nreturn redis.pcall('set','a',1)", "#!lua flags=allow-stale,no-cluster,allow-cross-slot-keys\nreturn redis.call('set','shb',1)",
    "#!lua\nerror('line two')", "#!lua", "#!", "#!foo\nreturn 1", "#!lua name=x\nreturn 1", "#!lua flags=foo\nreturn 1", "#!lua flags=no-writes,foo\nreturn 1",
    "#!lua flags=no-writes flags=allow-oom\nreturn redis.call('set','a',1)", "#!LUA\nreturn 1", "#!lua  flags=no-writes\nreturn redis.call('set','a',1)", "# x\nreturn 1", "#!lua flags=NO-WRITES\nreturn 1",
    "#!lua\n\nx=1", "#!lua flags=no-writes\nreturn redis.call('get','shb')",
]

# What clients send.
PHPREDIS = "if redis.call(\"get\",KEYS[1]) == ARGV[1] then return redis.call(\"del\",KEYS[1]) else return 0 end"
PYREDIS_EXTEND = """
        local token = redis.call('get', KEYS[1])
        if not token or token ~= ARGV[1] then
            return 0
        end
        local expiration = redis.call('pttl', KEYS[1])
        if not expiration then
            expiration = 0
        end
        if expiration < 0 then
            return 0
        end

        local newttl = ARGV[2]
        if ARGV[3] == "0" then
            newttl = ARGV[2] + expiration
        end
        redis.call('pexpire', KEYS[1], newttl)
        return 1
    """
LARAVEL_ADD = "return redis.call('exists',KEYS[1])<1 and redis.call('setex',KEYS[1],ARGV[2],ARGV[1])"
DJANGO_INCR = """
        local exists = redis.call('EXISTS', KEYS[1])
        if (exists == 1) then
            return redis.call('INCRBY', KEYS[1], ARGV[1])
        else return false end
        """
ASPNET_SET = """
                redis.call('HSET', KEYS[1], 'absexp', ARGV[1], 'sldexp', ARGV[2], 'data', ARGV[4])
                if ARGV[3] ~= '-1' then
                  redis.call('EXPIRE', KEYS[1], ARGV[3])
                end
                return 1"""
RATE = """local current = redis.call('incr', KEYS[1])
if tonumber(current) == 1 then redis.call('expire', KEYS[1], ARGV[1]) end
return {current, redis.call('ttl', KEYS[1])}"""
SIDEKIQ_POP = """
      local key, now = KEYS[1], ARGV[1]
      local jobs = redis.call("zrange", key, "-inf", now, "byscore", "limit", 0, 1)
      if jobs[1] then
        redis.call("zrem", key, jobs[1])
        return jobs[1]
      end"""
CLIENTS = [
    keys(PHPREDIS, ["lock"], "me"), keys("return redis.call('set','lock','me')", []), keys(PHPREDIS, ["lock"], "you"), keys(PHPREDIS, ["lock"], "me"),
    keys(PYREDIS_EXTEND, ["lock"], "t", "1000", "0"), keys("return redis.call('set','lock','t','px',100000)", []), keys(PYREDIS_EXTEND, ["lock"], "t", "1000", "0"),
    keys(PYREDIS_EXTEND, ["lock"], "t", "200000", "1"), keys(PYREDIS_EXTEND, ["lock"], "other", "1000", "1"),
    keys(LARAVEL_ADD, ["add"], "v", "60"), keys(LARAVEL_ADD, ["add"], "v", "60"), keys(DJANGO_INCR, ["inc"], "2"), keys("return redis.call('set','inc',5)", []), keys(DJANGO_INCR, ["inc"], "2"),
    keys(ASPNET_SET, ["asp"], "1", "2", "60", "data"), keys(ASPNET_SET, ["asp"], "1", "2", "-1", "data2"), keys("return redis.call('hgetall',KEYS[1])", ["asp"]),
    keys("redis.call('mset','w_1','3','w_2','1','o_1','one','o_2','two') return redis.call('sort','many','by','w_*','get','o_*','limit',0,4)", []),
    keys("redis.call('del','many') redis.call('rpush','many',1,2) return redis.call('sort','many','by','w_*','get','o_*','get','#')", []),
    keys(RATE, ["rate"], "100"), keys(RATE, ["rate"], "100"), keys("redis.call('zadd','sched',1,'a',5,'b') return 1", []), keys(SIDEKIQ_POP, ["sched"], "3"), keys(SIDEKIQ_POP, ["sched"], "3"),
    keys("return redis.call('del','lock','add','inc','asp','rate','sched')", []),
]

SCRIPTS = [s if isinstance(s, tuple) else (s, [], []) for s in
           VALUES + ERRORS + LIBRARIES + CALLS_OF_KEYS + SHEBANGS + CLIENTS]

# Sent as they stand.
CALLS = [
    ["EVAL", "return 1"], ["EVAL"], ["EVAL", "return 1", "x"], ["EVAL", "return 1", "-1"], ["EVAL", "return 1", "1"], ["EVAL", "return 1", "1.5"],
    ["EVAL", "return 1", "2", "a"], ["EVALSHA", "abc", "0"], ["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
    ["EVALSHA", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "0"], ["EVALSHA", "z" * 40, "0"], ["EVALSHA", "0" * 40, "x"], ["EVALSHA", "0" * 40, "0"],
    ["EVAL_RO", "return redis.call('get','a')", "0"], ["EVAL_RO", "return redis.call('set','a',1)", "0"], ["EVAL_RO", "return redis.pcall('set','a',1)", "0"], ["EVAL_RO", "return redis.call('publish','a',1)", "0"], ["EVAL_RO", "return redis.pcall('spublish','a',1)", "0"],
    ["EVAL", "#!lua flags=no-writes\nreturn redis.call('publish','a','b')", "0"], ["EVAL", "#!lua flags=no-writes,\nreturn 1", "0"],
    ["EVAL", "#!lua flags=allow-oom,,no-writes\nreturn 1", "0"], ["EVAL", "#!lua flags=,\nreturn 1", "0"], ["EVAL", "#!lua flags=\nreturn 1", "0"],
   
    ["EVAL_RO", "#!lua\nreturn 1", "0"], ["EVAL_RO", "#!lua flags=no-writes\nreturn 1", "0"], ["EVALSHA_RO", "abc", "0"],
    ["EVALSHA_RO", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"], ["SCRIPT", "LOAD", "return 5"], ["SCRIPT", "LOAD", "a b"], ["SCRIPT", "LOAD", "#!x\n"],
    ["SCRIPT", "LOAD"], ["SCRIPT", "EXISTS"], ["SCRIPT", "EXISTS", "4ca238f611c9d0ae4e9a75a5dbac22aedc1e44a9", "x", "0" * 40], ["SCRIPT", "FOO"], ["SCRIPT"], ["SCRIPT", "HELP"],
    ["SCRIPT", "KILL"], ["SCRIPT", "KILL", "x"], ["SCRIPT", "DEBUG", "no"], ["SCRIPT", "DEBUG", "x"], ["SCRIPT", "DEBUG"], ["SCRIPT", "FLUSH", "x"], ["SCRIPT", "FLUSH", "SYNC", "x"],
    ["COMMAND", "INFO", "eval", "evalsha", "eval_ro", "evalsha_ro"], ["COMMAND", "GETKEYS", "EVAL", "x", "2", "a", "b", "c"], ["COMMAND", "GETKEYS", "EVAL", "x", "0"],
    ["COMMAND", "GETKEYS", "EVALSHA", "x", "1", "a"], ["COMMAND", "GETKEYSANDFLAGS", "EVAL", "x", "1", "a"], ["COMMAND", "GETKEYSANDFLAGS", "EVAL_RO", "x", "1", "a"],
    ["COMMAND", "GETKEYS", "EVAL", "x", "5", "a"], ["MULTI"], ["EVAL", "return redis.call('incr','inmulti')", "0"], ["EVAL", "return {1,redis.call('get','inmulti')}", "0"], ["INCR", "inmulti"],
    ["EVAL", "error('x')", "0"], ["EVALSHA", "0" * 40, "0"], ["EXEC"], ["GET", "inmulti"], ["DEL", "inmulti"], ["MULTI"], ["SELECT", "1"], ["EVAL", "return redis.call('set','in1','x')", "0"], ["EXEC"], ["EXISTS", "in1"], ["DEL", "in1"], ["SELECT", "0"],
    ["WATCH", "w"], ["EVAL", "return redis.call('set','w',1)", "0"], ["MULTI"], ["PING"], ["EXEC"], ["DEL", "w"],
    ["CONFIG", "GET", "lua-time-limit"], ["CONFIG", "SET", "lua-time-limit", "5000"], ["CONFIG", "GET", "busy-reply-threshold"], ["SCRIPT", "FLUSH"], ["SCRIPT", "EXISTS", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db"],
    ["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"], ["EVAL", "return 1", "0"], ["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"], ["SCRIPT", "FLUSH", "ASYNC"],
]


# --- random ones, for differential.py ---

GENERIC = (b"return redis.call(unpack(ARGV))", b"return redis.pcall(unpack(ARGV))",
           b"return {1, redis.pcall(unpack(ARGV)), redis.pcall('get', KEYS[1] or 'x')}",
           b"redis.setresp(3) return redis.call(unpack(ARGV))",
           b"local a = redis.pcall(unpack(ARGV)) redis.pcall('append', KEYS[1] or 'y', 'z') return a",
           b"redis.call(unpack(ARGV)) redis.call(unpack(ARGV)) return redis.call('exists', ARGV[2] or 'x')")
FIXED = b"return {KEYS[1] or false, #ARGV}"
FIXED_SHA = hashlib.sha1(FIXED).hexdigest().encode()


def call(g):
    k = g.key()
    return g.pick((
        (b"GET", k), (b"SET", k, g.value()), (b"SET", k, g.value(), b"NX", b"GET"), (b"INCR", k), (b"INCRBY", k, g.integer()),
        (b"APPEND", k, g.value()), (b"STRLEN", k), (b"EXISTS", k, g.key()), (b"TYPE", k), (b"DEL", k, g.key()),
        (b"GETRANGE", k, g.integer(), g.integer()), (b"SETNX", k, g.value()), (b"GETDEL", k), (b"MGET", k, g.key()),
        (b"MSET", k, g.value(), g.key(), g.value()), (b"RENAME", k, g.key()), (b"LPUSH", k, g.value()), (b"LLEN", k),
        (b"LRANGE", k, b"0", b"-1"), (b"HSET", k, b"f", g.value()), (b"HGET", k, b"f"), (b"ZADD", k, b"1.5", b"m"),
        (b"ZSCORE", k, b"m"), (b"PING",), (b"ECHO", g.value()), (b"SELECT", b"0"), (b"NOSUCH", k), (b"GET",), (b"MULTI",)))


def script(g):
    some = [g.key() for _ in range(g.pick((0, 0, 1, 2)))]
    name = g.case(b"EVAL_RO" if g.chance(0.2) else b"EVAL")
    return [[name, g.pick(GENERIC), b"%d" % len(some), *some, *call(g)]]


def known(g):
    """Behind DISCARD: SCRIPT FLUSH is not for blocks."""
    return [[b"DISCARD"], [*g.pick((
        (g.case(b"EVAL"), FIXED, b"0"), (b"EVALSHA", FIXED_SHA, b"1", g.key(), b"a"), (b"EVALSHA_RO", FIXED_SHA, b"0", b"a", b"b"),
        (b"EVALSHA", b"0" * 40, b"0"), (b"EVALSHA", b"x", b"0"), (b"EVAL", FIXED, b"x"), (b"EVAL", FIXED, b"2", b"a"), (b"EVAL_RO", FIXED, b"-1"),
        (b"SCRIPT", b"LOAD", FIXED), (b"SCRIPT", b"LOAD", b"a b"), (b"SCRIPT", b"EXISTS", FIXED_SHA, b"x"), (b"SCRIPT", b"FLUSH"),
        (b"SCRIPT", b"FLUSH", b"x"), (b"SCRIPT", b"HELP"), (b"SCRIPT", b"KILL"), (b"SCRIPT", b"DEBUG"),
        (b"SCRIPT", b"nosuch"), (b"SCRIPT",)))]]


FAMILIES = [(6, "data", script), (1, "script", known)]
