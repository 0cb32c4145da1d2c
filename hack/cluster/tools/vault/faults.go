package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fault is something that a test wants to go wrong.
type fault struct {
	// Path is a part of the request's path; empty = all requests.
	Path string `json:"path"`
	// Times is how often; 0 = until it is cleared.
	Times int `json:"times"`
	// DelayMS holds the answer back.
	DelayMS int `json:"delayMs"`
	// Override replaces members of the request's data before the engine sees them.
	Override map[string]interface{} `json:"override"`
	// Status, Headers and Body are sent in place of an answer; Size is that of a body of spaces and nothing else.
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Size    int               `json:"size"`
	// Cut ends the connection without an answer.
	Cut bool `json:"cut"`
}

// seen is a request as it came, without its values.
type seen struct {
	Method    string   `json:"method"`
	Path      string   `json:"path"`
	Namespace string   `json:"namespace"`
	Token     string   `json:"token"`
	Members   []string `json:"members"`
}

type faults struct {
	mu      sync.Mutex
	list    []*fault
	sealed  bool
	standby string // address of the active node; set = this one sends everybody there
	log     []seen
}

// answer notes the request and does what is to go wrong with it. True = it was answered.
func (f *faults) answer(w http.ResponseWriter, r *http.Request, path, namespace string, data map[string]interface{}) bool {
	members := []string{}
	for name := range data {
		members = append(members, name)
	}
	f.mu.Lock()
	f.log = append(f.log, seen{r.Method, path, namespace, r.Header.Get("X-Vault-Token"), members})
	sealed, standby := f.sealed, f.standby
	due := f.take(path)
	f.mu.Unlock()
	for _, each := range due {
		if each.DelayMS > 0 {
			select {
			case <-time.After(time.Duration(each.DelayMS) * time.Millisecond):
			case <-r.Context().Done():
			}
		}
		for name, value := range each.Override {
			data[name] = value
		}
		if each.Cut {
			panic(http.ErrAbortHandler)
		}
		if each.Status != 0 {
			for name, value := range each.Headers {
				w.Header().Set(name, value)
			}
			w.WriteHeader(each.Status)
			_, _ = w.Write([]byte(each.Body + strings.Repeat(" ", each.Size)))
			return true
		}
	}
	switch {
	case sealed && (path == "sys/seal-status" || path == "sys/health"):
		status := http.StatusOK
		if path == "sys/health" {
			status = http.StatusServiceUnavailable
		}
		send(w, status, map[string]interface{}{"initialized": true, "sealed": true, "version": "1.21.4"})
	case sealed:
		fail(w, http.StatusServiceUnavailable, "Vault is sealed")
	case standby != "" && path != "sys/seal-status" && path != "sys/health":
		w.Header().Set("Location", standby+r.URL.RequestURI())
		w.WriteHeader(http.StatusTemporaryRedirect)
	default:
		return false
	}
	return true
}

// take returns the faults for a path and counts them; the lock is held.
func (f *faults) take(path string) []*fault {
	var due, rest []*fault
	for _, each := range f.list {
		if !strings.Contains(path, each.Path) {
			rest = append(rest, each)
			continue
		}
		due = append(due, each)
		if each.Times != 1 {
			rest = append(rest, each)
		}
		if each.Times > 1 {
			each.Times--
		}
	}
	f.list = rest
	return due
}

// control is the way in for tests, on a port of its own that never fails.
func (c *core) control(api *server) http.Handler {
	mux := http.NewServeMux()
	handle := func(name string, act func(body map[string]json.RawMessage) interface{}) {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
			body := map[string]json.RawMessage{}
			_ = json.NewDecoder(r.Body).Decode(&body)
			send(w, http.StatusOK, act(body))
		})
	}
	handle("fault", func(body map[string]json.RawMessage) interface{} {
		whole, _ := json.Marshal(body)
		new := &fault{}
		if err := json.Unmarshal(whole, new); err != nil {
			return err.Error()
		}
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		c.faults.list = append(c.faults.list, new)
		return "ok"
	})
	handle("clear", func(map[string]json.RawMessage) interface{} {
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		c.faults.list, c.faults.sealed, c.faults.standby, c.faults.log = nil, false, "", nil
		return "ok"
	})
	handle("seal", func(body map[string]json.RawMessage) interface{} {
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		c.faults.sealed = string(body["sealed"]) == "true"
		return "ok"
	})
	handle("standby", func(body map[string]json.RawMessage) interface{} {
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		_ = json.Unmarshal(body["active"], &c.faults.standby)
		return "ok"
	})
	handle("log", func(map[string]json.RawMessage) interface{} {
		c.faults.mu.Lock()
		defer c.faults.mu.Unlock()
		return append([]seen{}, c.faults.log...)
	})
	handle("down", func(map[string]json.RawMessage) interface{} { api.down(); return "ok" })
	handle("up", func(map[string]json.RawMessage) interface{} {
		if err := api.up(); err != nil {
			return err.Error()
		}
		return "ok"
	})
	handle("advance", func(body map[string]json.RawMessage) interface{} {
		var seconds int
		_ = json.Unmarshal(body["seconds"], &seconds)
		c.tokens.advance(time.Duration(seconds) * time.Second)
		return "ok"
	})
	handle("revoke-tokens", func(map[string]json.RawMessage) interface{} { c.tokens.revokeAll(); return "ok" })
	handle("leases", func(map[string]json.RawMessage) interface{} {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.leases)
	})
	return mux
}
