// Vault's own PKI engine, key-value engine and Kubernetes login behind Vault's HTTP paths, for tests. Vault as a whole does not
// build from its Go module; these engines do, and all that judges certificate requests and logins is theirs. What is written here
// is the little around them: tokens with a lifetime, policies, leases, namespaces, a seal, and switches for failures.
// Everything is in memory. The program ends when its standard input does.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
)

// server is the TLS listener of the API. It can be taken down and put up again on the same port.
type server struct {
	mu      sync.Mutex
	handler http.Handler
	config  *tls.Config
	address string
	http    *http.Server
}

func (s *server) up() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return err
	}
	s.address = listener.Addr().String()
	// The handshakes that clients break off are part of the tests.
	s.http = &http.Server{Handler: s.handler, ErrorLog: log.New(io.Discard, "", 0)}
	go serve(s.http, tls.NewListener(listener, s.config))
	return nil
}

func (s *server) down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		_ = s.http.Close()
		s.http = nil
	}
}

func serve(server *http.Server, listener net.Listener) {
	if err := server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}

func main() {
	certificate := flag.String("cert", "", "PEM file of the API's certificate")
	key := flag.String("key", "", "PEM file of its key")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	core := newCore()
	api := &server{
		address: "127.0.0.1:0",
		config:  &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12},
	}
	api.handler = http.HandlerFunc(core.serve)
	if err := api.up(); err != nil {
		log.Fatal(err)
	}
	control, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go serve(&http.Server{Handler: core.control(api)}, control)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]string{
		"address":   "https://" + api.address,
		"control":   "http://" + control.Addr().String(),
		"rootToken": core.tokens.root,
	})
	_, _ = io.Copy(io.Discard, os.Stdin)
}
