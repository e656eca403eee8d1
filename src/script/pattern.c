/* pattern: string.find, match, gmatch and gsub as Lua 5.1 has them, in steps that are counted.
 * Lua's own may take longer than a lifetime in one call ("a?" a hundred times), and as deep a stack
 * as the pattern is long. Here every step is charged (vm_charge), so that the run can be
 * interrupted, and the depth has a limit. Source: the Lua 5.1 reference manual, 5.4.1. */
#include <ctype.h>
#include <string.h>

#include "script/internal.h"

enum { MAX_CAPTURES = 32, MAX_DEPTH = 4000, STEPS_PER_CHARGE = 1000 };

enum capture_kind { CAPTURE_OPEN = -1, CAPTURE_POSITION = -2 };

struct capture {
    const char *at;
    ptrdiff_t len; /* or a kind */
};

struct matcher {
    lua_State *L;
    const char *src;
    const char *src_end;
    const char *pattern_end;
    int ncaptures;
    int depth;
    unsigned steps;
    struct capture captures[MAX_CAPTURES];
};

static void step(struct matcher *m)
{
    if (++m->steps % STEPS_PER_CHARGE == 0)
        vm_charge(m->L, STEPS_PER_CHARGE);
}

static const char *match(struct matcher *m, const char *s, const char *p);

/* ---- single characters ---- */

/* The end of the item at p: a character, an escape or a set. */
static const char *item_end(struct matcher *m, const char *p)
{
    char c = *p++;
    if (c == '%') {
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (ends with '%%')");
        return p + 1;
    }
    if (c != '[')
        return p;
    if (p < m->pattern_end && *p == '^')
        p++;
    do { /* the first ']' stands for itself */
        if (p == m->pattern_end)
            luaL_error(m->L, "malformed pattern (missing ']')");
        if (*p++ == '%' && p < m->pattern_end)
            p++;
    } while (p == m->pattern_end || *p != ']');
    return p + 1;
}

static bool in_class(int c, int class)
{
    bool is;
    switch (tolower(class)) {
    case 'a':
        is = isalpha(c);
        break;
    case 'c':
        is = iscntrl(c);
        break;
    case 'd':
        is = isdigit(c);
        break;
    case 'l':
        is = islower(c);
        break;
    case 'p':
        is = ispunct(c);
        break;
    case 's':
        is = isspace(c);
        break;
    case 'u':
        is = isupper(c);
        break;
    case 'w':
        is = isalnum(c);
        break;
    case 'x':
        is = isxdigit(c);
        break;
    case 'z':
        is = c == 0;
        break;
    default:
        return class == c;
    }
    return is != (isupper(class) != 0);
}

/* Is c in the set [p, last], `last` its closing bracket? */
static bool in_set(int c, const char *p, const char *last)
{
    bool wanted = true;
    if (p[1] == '^') {
        wanted = false;
        p++;
    }
    while (++p < last) {
        if (*p == '%') {
            p++;
            if (in_class(c, (unsigned char)*p))
                return wanted;
        } else if (p[1] == '-' && p + 2 < last) {
            p += 2;
            if ((unsigned char)p[-2] <= c && c <= (unsigned char)*p)
                return wanted;
        } else if ((unsigned char)*p == c) {
            return wanted;
        }
    }
    return !wanted;
}

static bool matches_one(int c, const char *p, const char *end)
{
    switch (*p) {
    case '.':
        return true;
    case '%':
        return in_class(c, (unsigned char)p[1]);
    case '[':
        return in_set(c, p, end - 1);
    default:
        return (unsigned char)*p == c;
    }
}

static bool matches_here(struct matcher *m, const char *s, const char *p, const char *end)
{
    step(m);
    return s < m->src_end && matches_one((unsigned char)*s, p, end);
}

/* ---- items with more to them ---- */

static const char *match_balance(struct matcher *m, const char *s, const char *p)
{
    if (p == m->pattern_end || p + 1 == m->pattern_end)
        luaL_error(m->L, "unbalanced pattern");
    if (s == m->src_end || *s != *p)
        return NULL;
    int open = 1;
    for (const char *at = s + 1; at < m->src_end; at++) {
        step(m);
        if (*at == p[1]) {
            if (--open == 0)
                return at + 1;
        } else if (*at == p[0]) {
            open++;
        }
    }
    return NULL;
}

static const char *match_most(struct matcher *m, const char *s, const char *p, const char *end)
{
    ptrdiff_t i = 0;
    while (matches_here(m, s + i, p, end))
        i++;
    for (; i >= 0; i--) {
        const char *found = match(m, s + i, end + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

static const char *match_least(struct matcher *m, const char *s, const char *p, const char *end)
{
    for (;;) {
        const char *found = match(m, s, end + 1);
        if (found != NULL)
            return found;
        if (!matches_here(m, s, p, end))
            return NULL;
        s++;
    }
}

static const char *open_capture(struct matcher *m, const char *s, const char *p, ptrdiff_t kind)
{
    if (m->ncaptures >= MAX_CAPTURES)
        luaL_error(m->L, "too many captures");
    m->captures[m->ncaptures++] = (struct capture){s, kind};
    const char *found = match(m, s, p);
    if (found == NULL)
        m->ncaptures--;
    return found;
}

static const char *close_capture(struct matcher *m, const char *s, const char *p)
{
    int i = m->ncaptures - 1;
    while (i >= 0 && m->captures[i].len != CAPTURE_OPEN)
        i--;
    if (i < 0)
        luaL_error(m->L, "invalid pattern capture");
    m->captures[i].len = s - m->captures[i].at;
    const char *found = match(m, s, p);
    if (found == NULL)
        m->captures[i].len = CAPTURE_OPEN;
    return found;
}

/* %1: the same bytes again. */
static const char *match_again(struct matcher *m, const char *s, int digit)
{
    int i = digit - '1';
    if (i < 0 || i >= m->ncaptures || m->captures[i].len == CAPTURE_OPEN)
        luaL_error(m->L, "invalid capture index");
    size_t len = (size_t)m->captures[i].len;
    vm_charge(m->L, m->captures[i].len > 0 ? len / 16 : 0);
    if ((size_t)(m->src_end - s) >= len && memcmp(m->captures[i].at, s, len) == 0)
        return s + len;
    return NULL;
}

static bool at_frontier(struct matcher *m, const char *s, const char *p, const char **end)
{
    if (p == m->pattern_end || *p != '[')
        luaL_error(m->L, "missing '[' after '%%f' in pattern");
    *end = item_end(m, p);
    int before = s == m->src ? 0 : (unsigned char)s[-1];
    int after = s == m->src_end ? 0 : (unsigned char)*s;
    return !in_set(before, p, *end - 1) && in_set(after, p, *end - 1);
}

/* ---- the whole ---- */

/* One item that is neither a capture nor %b, %f, %1. *done: `s` is the result. */
static const char *match_item(struct matcher *m, const char *s, const char **p, bool *done)
{
    const char *end = item_end(m, *p);
    char suffix = end < m->pattern_end ? *end : '\0';
    *done = true;
    switch (suffix) {
    case '?':
        if (matches_here(m, s, *p, end)) {
            const char *found = match(m, s + 1, end + 1);
            if (found != NULL)
                return found;
        }
        *p = end + 1;
        *done = false;
        return s;
    case '*':
        return match_most(m, s, *p, end);
    case '+':
        return matches_here(m, s, *p, end) ? match_most(m, s + 1, *p, end) : NULL;
    case '-':
        return match_least(m, s, *p, end);
    default:
        if (!matches_here(m, s, *p, end))
            return NULL;
        *p = end;
        *done = false;
        return s + 1;
    }
}

/* From the item at *p on; the end of the match, or NULL. */
static const char *match_from(struct matcher *m, const char *s, const char *p)
{
    bool done = false;
    while (s != NULL && !done && p < m->pattern_end) {
        step(m);
        bool escape = *p == '%' && p + 1 < m->pattern_end;
        if (*p == '(') {
            bool position = p + 1 < m->pattern_end && p[1] == ')';
            return open_capture(m, s, p + 1 + position, position ? CAPTURE_POSITION : CAPTURE_OPEN);
        } else if (*p == ')') {
            return close_capture(m, s, p + 1);
        } else if (*p == '$' && p + 1 == m->pattern_end) {
            return s == m->src_end ? s : NULL;
        } else if (escape && p[1] == 'b') {
            s = match_balance(m, s, p + 2);
            p += 4;
        } else if (escape && p[1] == 'f') {
            if (!at_frontier(m, s, p + 2, &p))
                return NULL;
        } else if (escape && isdigit((unsigned char)p[1])) {
            s = match_again(m, s, (unsigned char)p[1]);
            p += 2;
        } else {
            s = match_item(m, s, &p, &done);
        }
    }
    return s;
}

static const char *match(struct matcher *m, const char *s, const char *p)
{
    if (++m->depth > MAX_DEPTH)
        luaL_error(m->L, "pattern too complex");
    const char *found = match_from(m, s, p);
    m->depth--;
    return found;
}

/* ---- results ---- */

static void push_capture(struct matcher *m, int i, const char *s, const char *e)
{
    if (i >= m->ncaptures) {
        if (i != 0)
            luaL_error(m->L, "invalid capture index");
        lua_pushlstring(m->L, s, (size_t)(e - s)); /* the whole match */
        return;
    }
    const struct capture *c = &m->captures[i];
    if (c->len == CAPTURE_OPEN)
        luaL_error(m->L, "unfinished capture");
    if (c->len == CAPTURE_POSITION)
        lua_pushinteger(m->L, c->at - m->src + 1);
    else
        lua_pushlstring(m->L, c->at, (size_t)c->len);
}

static int push_captures(struct matcher *m, const char *s, const char *e)
{
    int n = m->ncaptures == 0 && s != NULL ? 1 : m->ncaptures;
    luaL_checkstack(m->L, n, "too many captures");
    for (int i = 0; i < n; i++)
        push_capture(m, i, s, e);
    return n;
}

/* As everywhere in Lua 5.1, a pattern ends at its first NUL. */
static void matcher_init(struct matcher *m, lua_State *L, const char *s, size_t len, const char *p)
{
    m->L = L;
    m->src = s;
    m->src_end = s + len;
    m->pattern_end = p + strlen(p);
    m->ncaptures = 0;
    m->depth = 0;
    m->steps = 0;
}

static const char *try_at(struct matcher *m, const char *s, const char *p)
{
    m->ncaptures = 0;
    m->depth = 0;
    return match(m, s, p);
}

static ptrdiff_t start_of(lua_State *L, size_t len)
{
    ptrdiff_t at = luaL_optinteger(L, 3, 1);
    if (at < 0)
        at += (ptrdiff_t)len + 1;
    at = at > 0 ? at - 1 : 0;
    return (size_t)at > len ? (ptrdiff_t)len : at;
}

static int find_plain(lua_State *L, struct bytes s, struct bytes what, ptrdiff_t init)
{
    const char *from = s.data + init;
    size_t left = s.len - (size_t)init;
    vm_charge(L, left / 16 + 1);
    const char *found = what.len == 0 ? from : memmem(from, left, what.data, what.len);
    if (found == NULL) {
        lua_pushnil(L);
        return 1;
    }
    lua_pushinteger(L, found - s.data + 1);
    lua_pushinteger(L, found - s.data + (ptrdiff_t)what.len);
    return 2;
}

static int find_or_match(lua_State *L, bool find)
{
    struct bytes s, p;
    s.data = luaL_checklstring(L, 1, &s.len);
    p.data = luaL_checklstring(L, 2, &p.len);
    ptrdiff_t init = start_of(L, s.len);
    if (find && (lua_toboolean(L, 4) || strpbrk(p.data, "^$*+?.([%-") == NULL))
        return find_plain(L, s, p, init);
    struct matcher m;
    matcher_init(&m, L, s.data, s.len, p.data);
    bool anchor = *p.data == '^';
    for (const char *at = s.data + init; at <= m.src_end; at++) {
        const char *end = try_at(&m, at, p.data + anchor);
        if (end != NULL && find) {
            lua_pushinteger(L, at - s.data + 1);
            lua_pushinteger(L, end - s.data);
            return push_captures(&m, NULL, NULL) + 2;
        }
        if (end != NULL)
            return push_captures(&m, at, end);
        if (anchor)
            break;
    }
    lua_pushnil(L);
    return 1;
}

int pattern_find(lua_State *L)
{
    return find_or_match(L, true);
}

int pattern_match(lua_State *L)
{
    return find_or_match(L, false);
}

static int gmatch_next(lua_State *L)
{
    size_t len;
    const char *s = lua_tolstring(L, lua_upvalueindex(1), &len);
    const char *p = lua_tostring(L, lua_upvalueindex(2));
    struct matcher m;
    matcher_init(&m, L, s, len, p);
    for (const char *at = s + lua_tointeger(L, lua_upvalueindex(3)); at <= m.src_end; at++) {
        const char *end = try_at(&m, at, p);
        if (end == NULL)
            continue;
        lua_pushinteger(L, end - s + (end == at));
        lua_replace(L, lua_upvalueindex(3));
        return push_captures(&m, at, end);
    }
    return 0;
}

int pattern_gmatch(lua_State *L)
{
    luaL_checkstring(L, 1);
    luaL_checkstring(L, 2);
    lua_settop(L, 2);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, gmatch_next, 3);
    return 1;
}

/* ---- gsub ---- */

static void add_text(struct matcher *m, luaL_Buffer *b, const char *s, const char *e)
{
    size_t len;
    const char *text = lua_tolstring(m->L, 3, &len);
    for (size_t i = 0; i < len; i++) {
        if (text[i] != '%') {
            luaL_addchar(b, text[i]);
        } else if (!isdigit((unsigned char)text[++i])) { /* Lua ends strings with a NUL */
            luaL_addchar(b, text[i]);
        } else if (text[i] == '0') {
            luaL_addlstring(b, s, (size_t)(e - s));
        } else {
            push_capture(m, text[i] - '1', s, e);
            luaL_addvalue(b);
        }
    }
    vm_charge(m->L, len / 16);
}

static void add_value(struct matcher *m, luaL_Buffer *b, const char *s, const char *e)
{
    lua_State *L = m->L;
    switch (lua_type(L, 3)) {
    case LUA_TFUNCTION:
        lua_pushvalue(L, 3);
        lua_call(L, push_captures(m, s, e), 1);
        break;
    case LUA_TTABLE:
        push_capture(m, 0, s, e);
        lua_gettable(L, 3);
        break;
    default:
        add_text(m, b, s, e);
        return;
    }
    if (!lua_toboolean(L, -1)) {
        lua_pop(L, 1);
        lua_pushlstring(L, s, (size_t)(e - s));
    } else if (!lua_isstring(L, -1)) {
        luaL_error(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
    }
    luaL_addvalue(b);
}

int pattern_gsub(lua_State *L)
{
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    const char *p = luaL_checkstring(L, 2);
    int type = lua_type(L, 3);
    int most = luaL_optint(L, 4, (int)len + 1);
    bool anchor = *p == '^';
    int n = 0;
    struct matcher m;
    luaL_Buffer b;
    luaL_argcheck(L,
                  type == LUA_TNUMBER || type == LUA_TSTRING || type == LUA_TFUNCTION ||
                      type == LUA_TTABLE,
                  3, "string/function/table expected");
    matcher_init(&m, L, s, len, p);
    luaL_buffinit(L, &b);
    while (n < most) {
        const char *end = try_at(&m, s, p + anchor);
        if (end != NULL) {
            n++;
            add_value(&m, &b, s, end);
        }
        if (end != NULL && end > s)
            s = end;
        else if (s < m.src_end)
            luaL_addchar(&b, *s++);
        else
            break;
        if (anchor)
            break;
    }
    luaL_addlstring(&b, s, (size_t)(m.src_end - s));
    luaL_pushresult(&b);
    lua_pushinteger(L, n);
    return 2;
}
