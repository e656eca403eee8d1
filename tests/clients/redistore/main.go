// A net/http server whose sessions boj/redistore keeps in Redis.
package main

import (
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strconv"

	"github.com/boj/redistore"
	"github.com/gomodule/redigo/redis"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

var store *redistore.RediStore

// A view changes the session and says whether the session is to be written.
type view func(r *http.Request, w http.ResponseWriter, session *sessions.Session) (bool, error)

func whoami(*http.Request, http.ResponseWriter, *sessions.Session) (bool, error) {
	return true, nil
}

func login(r *http.Request, _ http.ResponseWriter, session *sessions.Session) (bool, error) {
	session.Values["user"] = r.PostFormValue("user")
	return true, nil
}

func count(_ *http.Request, _ http.ResponseWriter, session *sessions.Session) (bool, error) {
	before, _ := session.Values["count"].(int)
	session.Values["count"] = before + 1
	return true, nil
}

// Save deletes a session whose MaxAge is negative, and gives one without an id another.
func renew(r *http.Request, w http.ResponseWriter, session *sessions.Session) (bool, error) {
	age := session.Options.MaxAge
	session.Options.MaxAge = -1
	if err := session.Save(r, w); err != nil {
		return false, err
	}
	session.Options.MaxAge = age
	session.ID = ""
	w.Header().Del("Set-Cookie")
	return true, nil
}

func logout(_ *http.Request, _ http.ResponseWriter, session *sessions.Session) (bool, error) {
	session.Options.MaxAge = -1
	session.Values = map[interface{}]interface{}{}
	return true, nil
}

func answer(r *http.Request, w http.ResponseWriter, do view) error {
	session, err := store.Get(r, "site")
	if decoding, ok := err.(securecookie.Error); err != nil && !(ok && decoding.IsDecode()) {
		return err
	}
	write, err := do(r, w, session)
	if err != nil {
		return err
	}
	// A stranger gets no session for having asked.
	if write && (len(session.Values) > 0 || session.Options.MaxAge < 0) {
		if err := session.Save(r, w); err != nil {
			return err
		}
	}
	return tell(w, map[string]interface{}{
		"user": session.Values["user"], "count": session.Values["count"]})
}

func tell(w http.ResponseWriter, what map[string]interface{}) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(what)
}

// allKeys may name a key twice: SCAN may.
func allKeys(c redis.Conn) ([]string, error) {
	keys, seen, cursor := []string{}, map[string]bool{}, "0"
	for {
		page, err := redis.Values(c.Do("SCAN", cursor, "MATCH", "session_*"))
		if err != nil {
			return nil, err
		}
		var some []string
		if _, err := redis.Scan(page, &cursor, &some); err != nil {
			return nil, err
		}
		for _, key := range some {
			if !seen[key] {
				seen[key] = true
				keys = append(keys, key)
			}
		}
		if cursor == "0" {
			return keys, nil
		}
	}
}

func list(w http.ResponseWriter) error {
	c := store.Pool.Get()
	defer c.Close()
	keys, err := allKeys(c)
	if err != nil {
		return err
	}
	return tell(w, map[string]interface{}{"keys": keys})
}

func clear(w http.ResponseWriter) error {
	c := store.Pool.Get()
	defer c.Close()
	keys, err := allKeys(c)
	if err != nil {
		return err
	}
	if len(keys) > 0 {
		if _, err := c.Do("DEL", redis.Args{}.AddFlat(keys)...); err != nil {
			return err
		}
	}
	return tell(w, map[string]interface{}{"deleted": len(keys)})
}

func handle(pattern string, how func(w http.ResponseWriter, r *http.Request) error) {
	http.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if err := how(w, r); err != nil {
			log.Print(err)
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
}

func main() {
	seconds, err := strconv.Atoi(os.Getenv("SESSION_SECONDS"))
	if err != nil {
		log.Fatal(err)
	}
	place := os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")
	store, err = redistore.NewRediStore(10, "tcp", place, os.Getenv("REDIS_PASSWORD"),
		[]byte("a secret of the site"))
	if err != nil {
		log.Fatal(err)
	}
	store.SetMaxAge(seconds)
	for pattern, do := range map[string]view{"/login": login, "/whoami": whoami, "/count": count,
		"/renew": renew, "/logout": logout} {
		do := do
		handle(pattern, func(w http.ResponseWriter, r *http.Request) error { return answer(r, w, do) })
	}
	handle("/list", func(w http.ResponseWriter, _ *http.Request) error { return list(w) })
	handle("/clear", func(w http.ResponseWriter, _ *http.Request) error { return clear(w) })
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil))
}
