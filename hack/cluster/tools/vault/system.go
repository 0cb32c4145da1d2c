package main

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// system answers what Vault itself answers and no engine: sys/ and auth/token/. False = the request is for an engine.
func (k *call) system() bool {
	switch {
	case k.path == "sys/health", k.path == "sys/seal-status":
		send(k.w, http.StatusOK, map[string]interface{}{"initialized": true, "sealed": false, "version": "1.21.4"})
	case k.path == "sys/capabilities-self":
		k.capabilities()
	case strings.HasPrefix(k.path, "sys/"):
		if k.token(k.operation()) != nil {
			k.administer()
		}
	case strings.HasPrefix(k.path, "auth/token/"):
		if caller := k.token(k.tokenOperation()); caller != nil {
			k.tokenStore(caller)
		}
	default:
		return false
	}
	return true
}

// capabilities tells a token what it may do at some paths; the default policy of Vault lets every token ask.
func (k *call) capabilities() {
	caller := k.core.tokens.find(k.tokenID)
	if caller == nil {
		fail(k.w, http.StatusForbidden, "permission denied")
		return
	}
	data := map[string]interface{}{}
	paths, _ := k.data["paths"].([]interface{})
	for _, each := range paths {
		path, _ := each.(string)
		granted := []string{}
		for operation, name := range capabilities {
			if k.core.tokens.allows(caller, k.namespace, operation, path) {
				granted = append(granted, name)
			}
		}
		if len(granted) == 0 {
			granted = append(granted, "deny")
		}
		data[path] = granted
	}
	send(k.w, http.StatusOK, map[string]interface{}{"data": data})
}

func (k *call) tokenOperation() logical.Operation {
	if k.method == http.MethodGet {
		return logical.ReadOperation
	}
	return logical.UpdateOperation
}

func (k *call) text(name string) string {
	value, _ := k.data[name].(string)
	return value
}

func (k *call) seconds(name string) time.Duration {
	switch value := k.data[name].(type) {
	case float64:
		return time.Duration(value) * time.Second
	case string:
		duration, _ := time.ParseDuration(value)
		return duration
	}
	return 0
}

// administer covers what a test sets up: engines, login methods, policies, leases.
func (k *call) administer() {
	part, name, _ := strings.Cut(strings.TrimPrefix(k.path, "sys/"), "/")
	switch part {
	case "mounts", "auth":
		where := strings.Trim(name, "/") + "/"
		if part == "auth" {
			where = "auth/" + where
		}
		if k.method == http.MethodDelete {
			k.core.unmount(k.namespace, where)
			break
		}
		options := map[string]string{}
		given, _ := k.data["options"].(map[string]interface{})
		for key, value := range given {
			options[key], _ = value.(string)
		}
		if err := k.core.mountEngine(k.namespace, where, k.text("type"), options); err != nil {
			fail(k.w, http.StatusBadRequest, err.Error())
			return
		}
	case "policies":
		// Vault takes policies as HCL or JSON; tests write JSON.
		var policy struct {
			Path map[string]struct {
				Capabilities []string `json:"capabilities"`
			} `json:"path"`
		}
		if err := json.Unmarshal([]byte(k.text("policy")), &policy); err != nil {
			fail(k.w, http.StatusBadRequest, "failed to parse policy: "+err.Error())
			return
		}
		rules := map[string][]string{}
		for path, rule := range policy.Path {
			rules[path] = rule.Capabilities
		}
		k.core.tokens.setPolicy(strings.TrimPrefix(name, "acl/"), rules)
	case "leases":
		k.lease(name)
		return
	default:
		fail(k.w, http.StatusNotFound, "unsupported path")
		return
	}
	k.w.WriteHeader(http.StatusNoContent)
}

func (k *call) lease(action string) {
	id := k.text("lease_id")
	k.core.mu.Lock()
	held := k.core.leases[id]
	k.core.mu.Unlock()
	if held == nil {
		fail(k.w, http.StatusBadRequest, "invalid lease")
		return
	}
	if action == "revoke" {
		request := logical.RevokeRequest(held.path, held.secret, nil)
		request.Storage, request.MountPoint = held.mount.storage, held.mount.path
		if _, err := held.mount.backend.HandleRequest(context.Background(), request); err != nil {
			fail(k.w, http.StatusInternalServerError, err.Error())
			return
		}
		k.core.mu.Lock()
		delete(k.core.leases, id)
		k.core.mu.Unlock()
		k.w.WriteHeader(http.StatusNoContent)
		return
	}
	send(k.w, http.StatusOK, map[string]interface{}{
		"data": map[string]interface{}{"id": id, "ttl": int(held.secret.TTL.Seconds()), "renewable": held.secret.Renewable},
	})
}

// tokenStore is auth/token.
func (k *call) tokenStore(caller *token) {
	switch strings.TrimPrefix(k.path, "auth/token/") {
	case "create":
		k.createToken()
	case "lookup-self":
		send(k.w, http.StatusOK, map[string]interface{}{"data": map[string]interface{}{
			"accessor":     caller.accessor,
			"display_name": caller.display,
			"policies":     caller.policies,
			"renewable":    caller.renewable,
			"ttl":          int(k.core.tokens.left(caller).Seconds()),
			"creation_ttl": int(caller.ttl.Seconds()),
		}})
	case "renew-self":
		k.renew(caller)
	case "revoke-self":
		k.core.tokens.revoke(caller.id)
		k.w.WriteHeader(http.StatusNoContent)
	case "revoke":
		k.core.tokens.revoke(k.text("token"))
		k.w.WriteHeader(http.StatusNoContent)
	default:
		fail(k.w, http.StatusNotFound, "unsupported path")
	}
}

func (k *call) createToken() {
	policies := []string{"default"}
	given, _ := k.data["policies"].([]interface{})
	for _, each := range given {
		if name, ok := each.(string); ok {
			policies = append(policies, name)
		}
	}
	renewable, stated := k.data["renewable"].(bool)
	ttl := k.seconds("ttl")
	if ttl == 0 {
		ttl = defaultTTL
	}
	new := k.core.tokens.add(&token{
		namespace: k.namespace,
		policies:  policies,
		renewable: renewable || !stated,
		ttl:       ttl,
		display:   "token",
	})
	if longest := k.seconds("explicit_max_ttl"); longest > 0 {
		new.ends = new.issued.Add(longest)
	}
	k.sendAuth(new)
}

// renew asks the login method whether a token of its may live on, as Vault does.
func (k *call) renew(caller *token) {
	if !caller.renewable {
		fail(k.w, http.StatusBadRequest, "lease is not renewable")
		return
	}
	ttl := caller.ttl
	if wanted := k.seconds("increment"); wanted > 0 && wanted < ttl {
		ttl = wanted
	}
	if caller.mount != nil {
		caller.auth.IssueTime = caller.issued
		request := logical.RenewAuthRequest("login", caller.auth, nil)
		request.Storage, request.MountPoint = caller.mount.storage, caller.mount.path
		response, err := caller.mount.backend.HandleRequest(context.Background(), request)
		if err != nil || response.IsError() {
			reply(k.w, request, response, err)
			return
		}
	}
	k.core.tokens.extend(caller, ttl)
	k.sendAuth(caller)
}

func (k *call) sendAuth(each *token) {
	send(k.w, http.StatusOK, map[string]interface{}{"auth": map[string]interface{}{
		"client_token":   each.id,
		"accessor":       each.accessor,
		"policies":       each.policies,
		"lease_duration": int(k.core.tokens.left(each).Seconds()),
		"renewable":      each.renewable,
	}})
}
