// Package peers holds the rules about whom an adapter may speak with, over whichever protocol: hosts that no supplier
// can have, and files of authorities.
package peers

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"os"
	"strings"

	"raccordo/contracts"
)

// HostFault says what is wrong with a configured host in an environment, or nil: production speaks with public hosts
// only. path is the setting's.
func HostFault(env contracts.Environment, path, host string) error {
	if env == contracts.Produzione && reserved(host) {
		return contracts.Faultf(path, "%s does not speak with loopback, private or test hosts", env)
	}
	return nil
}

// reserved knows the names reserved by RFC 2606 and RFC 6761, and addresses that no supplier can have.
func reserved(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		return !ip.IsGlobalUnicast() || ip.IsPrivate()
	}
	switch host[strings.LastIndexByte(host, '.')+1:] {
	case "localhost", "test", "example", "invalid", "local", "internal":
		return true
	}
	return false
}

// Authorities reads a PEM file of certificates. Its errors name neither the file nor what it holds.
func Authorities(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("cannot read the file")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("holds no PEM certificate")
	}
	return pool, nil
}
