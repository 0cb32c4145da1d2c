// Command names prints the URIs that Go reads in certificates: standard input has one path per line, standard output one line of JSON
// per path, a list of URIs, or null where Go refuses the certificate.
package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	scanner := bufio.NewScanner(os.Stdin)
	for scanner.Scan() {
		content, err := os.ReadFile(scanner.Text())
		if err != nil {
			panic(err)
		}
		var uris []string
		if certificate, err := x509.ParseCertificate(content); err == nil {
			uris = []string{}
			for _, uri := range certificate.URIs {
				uris = append(uris, uri.String())
			}
		}
		line, err := json.Marshal(uris)
		if err != nil {
			panic(err)
		}
		fmt.Println(string(line))
	}
}
