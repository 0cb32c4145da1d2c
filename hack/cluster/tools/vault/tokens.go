package main

import (
	"crypto/rand"
	"encoding/hex"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// token is one that was given out.
type token struct {
	id        string
	accessor  string
	namespace string
	policies  []string
	renewable bool
	ttl       time.Duration
	issued    time.Time
	expires   time.Time // zero = never
	ends      time.Time // no renewal goes past it; zero = no such bound
	mount     *mount    // of the login; nil for a token that was made by another
	auth      *logical.Auth
	display   string
}

// tokens are kept with a clock of their own, so that a test can let a token grow old without waiting.
type tokens struct {
	mu       sync.Mutex
	root     string
	byID     map[string]*token
	policies map[string]map[string][]string // policy -> path -> capabilities
	ahead    time.Duration
}

func newTokens() *tokens {
	t := &tokens{byID: map[string]*token{}, policies: map[string]map[string][]string{}}
	t.policies["default"] = map[string][]string{
		"auth/token/lookup-self": {"read"},
		"auth/token/renew-self":  {"update"},
		"auth/token/revoke-self": {"update"},
	}
	root := &token{policies: []string{"root"}, display: "root"}
	t.add(root)
	t.root = root.id
	return t
}

func random(bytes int) string {
	buffer := make([]byte, bytes)
	_, _ = rand.Read(buffer)
	return hex.EncodeToString(buffer)
}

func (t *tokens) now() time.Time { return time.Now().Add(t.ahead) }

func (t *tokens) add(new *token) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	new.id = "hvs." + random(24)
	new.accessor = random(12)
	new.issued = t.now()
	if new.ttl > 0 {
		new.expires = new.issued.Add(new.ttl)
	}
	t.byID[new.id] = new
	return new
}

// find returns a token that is still good.
func (t *tokens) find(id string) *token {
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.byID[id]
	if found == nil || (!found.expires.IsZero() && !t.now().Before(found.expires)) {
		return nil
	}
	return found
}

func (t *tokens) extend(each *token, ttl time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	each.expires = t.now().Add(ttl)
	if !each.ends.IsZero() && each.expires.After(each.ends) {
		each.expires = each.ends
	}
}

func (t *tokens) left(each *token) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if each.expires.IsZero() {
		return 0
	}
	return each.expires.Sub(t.now())
}

func (t *tokens) revoke(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
}

func (t *tokens) revokeAll() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.byID {
		if id != t.root {
			delete(t.byID, id)
		}
	}
}

func (t *tokens) advance(by time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead += by
}

func (t *tokens) setPolicy(name string, rules map[string][]string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policies[name] = rules
}

var capabilities = map[logical.Operation]string{
	logical.ReadOperation:   "read",
	logical.ListOperation:   "list",
	logical.CreateOperation: "create",
	logical.UpdateOperation: "update",
	logical.PatchOperation:  "patch",
	logical.DeleteOperation: "delete",
}

// allows tells whether one of the token's policies grants an operation; a trailing * of a rule's path matches any rest.
func (t *tokens) allows(each *token, namespace string, operation logical.Operation, where string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range each.policies {
		if name == "root" {
			return true
		}
		if each.namespace != namespace {
			continue
		}
		for rule, granted := range t.policies[name] {
			prefix, glob := strings.CutSuffix(rule, "*")
			if rule != where && !(glob && strings.HasPrefix(where, prefix)) {
				if matched, _ := path.Match(strings.ReplaceAll(rule, "+", "*"), where); !matched || glob {
					continue
				}
			}
			for _, capability := range granted {
				if capability == capabilities[operation] {
					return true
				}
			}
		}
	}
	return false
}
