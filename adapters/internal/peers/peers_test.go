package peers

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"raccordo/contracts"
)

func TestProductionSpeaksWithPublicHostsOnly(t *testing.T) {
	t.Parallel()
	for host, public := range map[string]bool{
		"api.pagopa.it": true, "api.pagopa.it.": true, "8.8.8.8": true, "2001:4860:4860::8888": true, "latest.it": true,
		"localhost": false, "a.LOCALHOST.": false, "mock.test": false, "a.example": false, "a.invalid": false,
		"printer.local": false, "pec.internal": false, "127.0.0.1": false, "10.1.2.3": false, "192.168.0.1": false,
		"169.254.1.1": false, "0.0.0.0": false, "::1": false, "fd00::1": false, "::ffff:10.0.0.1": false,
	} {
		if got := HostFault(contracts.Produzione, "x", host) == nil; got != public {
			t.Errorf("%s: allowed %t, want %t", host, got, public)
		}
		if err := HostFault(contracts.Collaudo, "x", host); err != nil {
			t.Errorf("%s in collaudo: %v", host, err)
		}
	}
}

func TestAuthoritiesAreReadFromPEM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := httptest.NewTLSServer(nil)
	server.Close()
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for name, tc := range map[string]struct {
		text []byte
		want string
	}{
		"good":   {cert, ""},
		"empty":  {nil, "holds no PEM certificate"},
		"noise":  {[]byte("no certificate"), "holds no PEM certificate"},
		"absent": {nil, "cannot read the file"},
	} {
		file := filepath.Join(dir, name)
		if name != "absent" {
			if err := os.WriteFile(file, tc.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		pool, err := Authorities(file)
		if (err == nil) != (tc.want == "") || err != nil && err.Error() != tc.want || (pool == nil) != (err != nil) {
			t.Errorf("%s: %v, %v, want %q", name, pool, err, tc.want)
		}
	}
}
