package lab

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// memo keeps the RSA keys made by this process, by name: making one takes tens of milliseconds, and tests open a bench
// each. It changes no outcome, since nothing ever asks for a key's bytes by expectation.
var memo struct {
	sync.Mutex
	keys map[string]*rsa.PrivateKey
}

const memoLimit = 64

// Key gives the RSA key (2048 bits) of a name and the file in Dir that holds it as PKCS#8 PEM, readable by the owner
// alone. A bench opened again on the same folder finds the same key.
func (b *Bench) Key(name string) (*rsa.PrivateKey, string, error) {
	file := filepath.Join(b.dir, name+".key.pem")
	raw, err := os.ReadFile(file)
	if err == nil {
		key, err := parseKey(raw)
		if err != nil {
			return nil, "", fmt.Errorf("lab: read %s: %w", file, err)
		}
		return key, file, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, "", fmt.Errorf("lab: read a key: %w", err)
	}
	key, err := memorised(name)
	if err != nil {
		return nil, "", fmt.Errorf("lab: make a key: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, "", fmt.Errorf("lab: write a key: %w", err)
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	if err := os.WriteFile(file, out, 0o600); err != nil {
		return nil, "", fmt.Errorf("lab: write a key: %w", err)
	}
	return key, file, nil
}

func memorised(name string) (*rsa.PrivateKey, error) {
	memo.Lock()
	defer memo.Unlock()
	if key, ok := memo.keys[name]; ok {
		return key, nil
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	if memo.keys == nil {
		memo.keys = map[string]*rsa.PrivateKey{}
	}
	if len(memo.keys) < memoLimit {
		memo.keys[name] = key
	}
	return key, nil
}

func parseKey(raw []byte) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	out, ok := key.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("not an RSA key")
	}
	return out, nil
}
