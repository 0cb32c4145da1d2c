package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	kubeauth "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/sdk/logical"
)

const (
	defaultTTL = 768 * time.Hour
	maximumTTL = 10 * 365 * 24 * time.Hour
	bodyLimit  = 32 << 20
)

var engines = map[string]logical.Factory{"pki": pki.Factory, "kv": kv.Factory, "kubernetes": kubeauth.Factory}

// mount is one engine at a path of a namespace; the path ends in a slash, that of a login method begins with "auth/".
type mount struct {
	path    string
	kind    string
	backend logical.Backend
	storage logical.Storage
}

// lease is a secret that the engine wants back some day.
type lease struct {
	mount  *mount
	path   string
	secret *logical.Secret
}

// core is what Vault calls by this name: it knows the mounts, tokens and leases, and sends requests where they belong.
type core struct {
	mu     sync.Mutex
	mounts map[string]map[string]*mount // namespace -> path -> mount
	leases map[string]*lease
	tokens *tokens
	faults *faults
}

func newCore() *core {
	return &core{
		mounts: map[string]map[string]*mount{"": {}},
		leases: map[string]*lease{},
		tokens: newTokens(),
		faults: &faults{},
	}
}

func (c *core) mountEngine(namespace, path, kind string, options map[string]string) error {
	factory := engines[kind]
	if factory == nil {
		return fmt.Errorf("plugin not found in the catalog: %s", kind)
	}
	storage := &logical.InmemStorage{}
	backend, err := factory(context.Background(), &logical.BackendConfig{
		StorageView: storage,
		Logger:      hclog.NewNullLogger(),
		System: &logical.StaticSystemView{
			DefaultLeaseTTLVal: defaultTTL,
			MaxLeaseTTLVal:     maximumTTL,
			VersionString:      "1.21.4",
		},
		BackendUUID: random(16),
		Config:      options,
	})
	if err != nil {
		return err
	}
	if err := backend.Initialize(context.Background(), &logical.InitializationRequest{Storage: storage}); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mounts[namespace] == nil {
		c.mounts[namespace] = map[string]*mount{}
	}
	c.mounts[namespace][path] = &mount{path: path, kind: kind, backend: backend, storage: storage}
	return nil
}

func (c *core) unmount(namespace, path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mounts[namespace], path)
}

// route finds the mount with the longest matching path.
func (c *core) route(namespace, path string) *mount {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found *mount
	for prefix, each := range c.mounts[namespace] {
		if strings.HasPrefix(path, prefix) && (found == nil || len(prefix) > len(found.path)) {
			found = each
		}
	}
	return found
}

func (c *core) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, bodyLimit))
	if err != nil {
		fail(w, http.StatusRequestEntityTooLarge, "request body too large")
		return
	}
	data := map[string]interface{}{}
	for name, values := range r.URL.Query() {
		data[name] = values[0]
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &data); err != nil {
			fail(w, http.StatusBadRequest, "failed to parse JSON input: "+err.Error())
			return
		}
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	namespace := strings.Trim(r.Header.Get("X-Vault-Namespace"), "/")
	id := r.Header.Get("X-Vault-Token")
	if id == "" {
		id = strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	}
	if c.faults.answer(w, r, path, namespace, data) {
		return
	}
	call := &call{core: c, w: w, method: r.Method, path: path, namespace: namespace, tokenID: id, data: data}
	if call.system() {
		return
	}
	call.engine()
}

// call is one request.
type call struct {
	core      *core
	w         http.ResponseWriter
	method    string
	path      string
	namespace string
	tokenID   string
	data      map[string]interface{}
}

func (k *call) operation() logical.Operation {
	switch k.method {
	case http.MethodGet:
		if k.data["list"] == "true" {
			return logical.ListOperation
		}
		return logical.ReadOperation
	case "LIST":
		return logical.ListOperation
	case http.MethodDelete:
		return logical.DeleteOperation
	case http.MethodPatch:
		return logical.PatchOperation
	default:
		return logical.UpdateOperation
	}
}

// token is the one that came with the request, if it may do this; otherwise the request is answered.
func (k *call) token(operation logical.Operation) *token {
	found := k.core.tokens.find(k.tokenID)
	if found == nil || !k.core.tokens.allows(found, k.namespace, operation, k.path) {
		fail(k.w, http.StatusForbidden, "permission denied")
		return nil
	}
	return found
}

// engine hands the request to the mount that it is for.
func (k *call) engine() {
	where := k.core.route(k.namespace, k.path)
	if where == nil {
		fail(k.w, http.StatusNotFound, fmt.Sprintf("no handler for route %q. route entry not found.", k.path))
		return
	}
	inner := strings.TrimPrefix(k.path, where.path)
	if k.operation() == logical.ListOperation && !strings.HasSuffix(inner, "/") {
		inner += "/"
	}
	request := &logical.Request{
		ID:          random(16),
		Operation:   k.operation(),
		Path:        inner,
		Data:        k.data,
		Storage:     where.storage,
		MountPoint:  where.path,
		MountType:   where.kind,
		Connection:  &logical.Connection{RemoteAddr: "127.0.0.1"},
		ClientToken: k.tokenID,
	}
	if request.Operation == logical.UpdateOperation {
		if checked, exists, err := where.backend.HandleExistenceCheck(context.Background(), request); err == nil && checked && !exists {
			request.Operation = logical.CreateOperation
		}
	}
	if !isPublic(where.backend.SpecialPaths(), inner) && k.token(request.Operation) == nil {
		return
	}
	response, err := where.backend.HandleRequest(context.Background(), request)
	if response != nil && response.Auth != nil && err == nil && !response.IsError() {
		k.login(where, response)
	}
	if response != nil && response.Secret != nil {
		response.Secret.LeaseID = where.path + inner + "/" + random(12)
		k.core.mu.Lock()
		k.core.leases[response.Secret.LeaseID] = &lease{mount: where, path: inner, secret: response.Secret}
		k.core.mu.Unlock()
	}
	reply(k.w, request, response, err)
}

// login makes the token that a login method decided on.
func (k *call) login(where *mount, response *logical.Response) {
	auth := response.Auth
	ttl := auth.TTL
	if ttl == 0 {
		ttl = defaultTTL
	}
	new := &token{
		namespace: k.namespace,
		policies:  append([]string{"default"}, auth.Policies...),
		renewable: auth.Renewable,
		ttl:       ttl,
		mount:     where,
		auth:      auth,
		display:   auth.DisplayName,
	}
	k.core.tokens.add(new)
	if auth.MaxTTL > 0 {
		new.ends = new.issued.Add(auth.MaxTTL)
	}
	auth.ClientToken, auth.Accessor, auth.TTL = new.id, new.accessor, ttl
	auth.TokenPolicies = new.policies
}

// isPublic tells whether a path of an engine needs no token: exact, with a trailing *, or with + for one segment.
func isPublic(paths *logical.Paths, path string) bool {
	if paths == nil {
		return false
	}
	for _, rule := range paths.Unauthenticated {
		prefix, glob := strings.CutSuffix(rule, "*")
		wanted, got := strings.Split(prefix, "/"), strings.Split(path, "/")
		if len(got) < len(wanted) || (!glob && len(got) != len(wanted)) {
			continue
		}
		same := true
		for index, part := range wanted {
			last := glob && index == len(wanted)-1
			if part != "+" && part != got[index] && !(last && strings.HasPrefix(got[index], part)) {
				same = false
			}
		}
		if same {
			return true
		}
	}
	return false
}

func reply(w http.ResponseWriter, request *logical.Request, response *logical.Response, err error) {
	if status, failure := logical.RespondErrorCommon(request, response, err); failure != nil || status >= 400 {
		if failure == nil {
			send(w, status, map[string]interface{}{"errors": []string{}})
			return
		}
		fail(w, status, failure.Error())
		return
	}
	if response == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if _, raw := response.Data[logical.HTTPContentType]; raw {
		sendRaw(w, response.Data)
		return
	}
	translated := logical.LogicalResponseToHTTPResponse(response)
	translated.RequestID = request.ID
	send(w, http.StatusOK, translated)
}

func sendRaw(w http.ResponseWriter, data map[string]interface{}) {
	status, _ := data[logical.HTTPStatusCode].(int)
	if status == 0 {
		status = http.StatusOK
	}
	kind, _ := data[logical.HTTPContentType].(string)
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	if body, ok := data[logical.HTTPRawBody].([]byte); ok {
		_, _ = w.Write(body)
	}
}

func send(w http.ResponseWriter, status int, body interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func fail(w http.ResponseWriter, status int, message string) {
	send(w, status, map[string]interface{}{"errors": []string{message}})
}
