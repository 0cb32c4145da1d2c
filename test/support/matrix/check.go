// Command check reads what Tabard wrote with Go's own parser and compares it with what was meant: every field, the signature, and the path.
// Standard input: one item per line, fields separated by tabs, as matrix.test.ts writes them. Standard output: one line per difference
// (name, tab, what), then the number of items.
package main

import (
	"bufio"
	"crypto/x509"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

type item struct {
	name, kind, path, issuer  string
	at, notBefore, notAfter   time.Time
	serial                    *big.Int
	uris, dnsNames, addresses []string
}

func main() {
	items := []item{}
	byName := map[string]*x509.Certificate{}
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		items = append(items, parse(strings.Split(scanner.Text(), "\t")))
	}
	for _, each := range items {
		if each.kind == "ca" {
			byName[each.name], _ = x509.ParseCertificate(read(each.path))
		}
	}
	for _, each := range items {
		for _, fault := range faults(each, byName[each.issuer]) {
			fmt.Printf("%s\t%s\n", each.name, fault)
		}
	}
	fmt.Println(len(items))
}

func parse(fields []string) item {
	serial, _ := new(big.Int).SetString("0"+fields[5], 16)
	return item{
		name: fields[0], kind: fields[1], path: fields[2], issuer: fields[3],
		at: seconds(fields[4]), serial: serial, notBefore: seconds(fields[6]), notAfter: seconds(fields[7]),
		uris: strings.Fields(fields[8]), dnsNames: strings.Fields(fields[9]), addresses: strings.Fields(fields[10]),
	}
}

func seconds(text string) time.Time {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return time.Unix(value, 0)
}

func read(path string) []byte {
	content, err := os.ReadFile(path)
	if err != nil {
		panic(err)
	}
	return content
}

func faults(each item, issuer *x509.Certificate) []string {
	switch each.kind {
	case "csr":
		return requestFaults(each)
	case "crl":
		return listFaults(each, issuer)
	default:
		return certificateFaults(each, issuer)
	}
}

func certificateFaults(each item, issuer *x509.Certificate) (found []string) {
	certificate, err := x509.ParseCertificate(read(each.path))
	if err != nil {
		return []string{err.Error()}
	}
	if certificate.SerialNumber.Cmp(each.serial) != 0 {
		found = append(found, "another serial number")
	}
	if !certificate.NotBefore.Equal(each.notBefore) || !certificate.NotAfter.Equal(each.notAfter) {
		found = append(found, "another time")
	}
	uris := []string{}
	for _, uri := range certificate.URIs {
		uris = append(uris, uri.String())
	}
	addresses := []string{}
	for _, address := range certificate.IPAddresses {
		addresses = append(addresses, address.String())
	}
	found = append(found, nameFaults(each, uris, certificate.DNSNames, addresses)...)
	if certificate.IsCA != (each.kind == "ca") {
		found = append(found, "the CA bit is wrong")
	}
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		options := x509.VerifyOptions{Roots: roots, CurrentTime: each.at, KeyUsages: []x509.ExtKeyUsage{usage}}
		if _, err := certificate.Verify(options); err != nil {
			found = append(found, err.Error())
		}
	}
	if err := certificate.CheckSignatureFrom(issuer); err != nil {
		found = append(found, err.Error())
	}
	return found
}

func requestFaults(each item) (found []string) {
	request, err := x509.ParseCertificateRequest(read(each.path))
	if err != nil {
		return []string{err.Error()}
	}
	if err := request.CheckSignature(); err != nil {
		found = append(found, err.Error())
	}
	uris := []string{}
	for _, uri := range request.URIs {
		uris = append(uris, uri.String())
	}
	addresses := []string{}
	for _, address := range request.IPAddresses {
		addresses = append(addresses, address.String())
	}
	return append(found, nameFaults(each, uris, request.DNSNames, addresses)...)
}

func listFaults(each item, issuer *x509.Certificate) (found []string) {
	list, err := x509.ParseRevocationList(read(each.path))
	if err != nil {
		return []string{err.Error()}
	}
	if err := list.CheckSignatureFrom(issuer); err != nil {
		found = append(found, err.Error())
	}
	if list.Number == nil || list.Number.Cmp(each.serial) != 0 {
		found = append(found, "another number")
	}
	if !list.ThisUpdate.Equal(each.notBefore) || !list.NextUpdate.Equal(each.notAfter) {
		found = append(found, "another time")
	}
	// A list has no names; the serials of what it revokes stand in their place.
	serials := []string{}
	for _, entry := range list.RevokedCertificateEntries {
		serials = append(serials, fmt.Sprintf("%X", entry.SerialNumber))
	}
	if !slices.Equal(serials, each.dnsNames) {
		found = append(found, "other serials are revoked")
	}
	return found
}

func nameFaults(each item, uris, dnsNames, addresses []string) (found []string) {
	if !slices.Equal(uris, each.uris) {
		found = append(found, fmt.Sprintf("other URIs: %v", uris))
	}
	if !slices.Equal(dnsNames, each.dnsNames) {
		found = append(found, "other DNS names")
	}
	if !slices.Equal(addresses, each.addresses) {
		found = append(found, fmt.Sprintf("other addresses: %v", addresses))
	}
	return found
}
