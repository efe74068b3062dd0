package store

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"raccordo/contracts"
)

const (
	keySize   = 32
	idSize    = 4
	sealMark  = 1 // the first byte of a sealed value: the format
	nonceSize = 12
	sealHead  = 1 + idSize + nonceSize
)

// NewKey makes one line of the text that Config.Key names: 32 random bytes in base64.
func NewKey() string {
	b := make([]byte, keySize)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.StdEncoding.EncodeToString(b)
}

// A keyID tells which key sealed: the first bytes of a digest of the key.
type keyID [idSize]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// A sealer is one key, cut into the two that are used.
type sealer struct {
	id     keyID
	aead   cipher.AEAD
	digest []byte
}

// A ring holds all keys; the last one seals.
type ring struct {
	keys map[keyID]*sealer
	last *sealer
}

func parseKeys(text []byte) (*ring, error) {
	r := &ring{keys: map[keyID]*sealer{}}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != keySize {
			return nil, contracts.Errorf(contracts.Invalid, "open store: key line %d: want %d bytes in base64", i+1, keySize)
		}
		s, err := newSealer(raw)
		if err != nil {
			return nil, err
		}
		r.keys[s.id] = s
		r.last = s
	}
	if r.last == nil {
		return nil, contracts.Errorf(contracts.Invalid, "open store: store.key holds no key; make one with 32 random bytes in base64")
	}
	return r, nil
}

func newSealer(raw []byte) (*sealer, error) {
	derive := func(use string) []byte {
		b, err := hkdf.Key(sha256.New, raw, nil, use, keySize)
		if err != nil {
			panic(err) // only for lengths that are not ours
		}
		return b
	}
	block, err := aes.NewCipher(derive("raccordo store seal 1"))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &sealer{id: keyID(derive("raccordo store key id 1")[:idSize]), aead: aead, digest: derive("raccordo store digest 1")}, nil
}

// Seal encrypts plain for one place: the row of the table. AES-256-GCM with a random nonce; the associated data is the
// place, so that a sealed value moved to another row does not open. The form is a format byte, the key's id (4 bytes),
// the nonce (12), the ciphertext and the tag (16). Empty stays empty (nil). Safe for concurrent use; call it outside
// Write. Random nonces allow about four thousand million seals per key: rotate it before.
func (s *Store) Seal(table, row string, plain []byte) ([]byte, error) {
	if len(plain) == 0 {
		return nil, nil
	}
	k := s.keys.last
	out := make([]byte, sealHead, sealHead+len(plain)+k.aead.Overhead())
	out[0] = sealMark
	copy(out[1:], k.id[:])
	_, _ = rand.Read(out[1+idSize : sealHead])
	return k.aead.Seal(out, out[1+idSize:sealHead], plain, place(table, row)), nil
}

// Unseal opens what Seal made for the same place. A key that is no longer there gives a *LostKey, anything else that
// does not open says so; both name table and row. Empty stays empty (nil).
func (s *Store) Unseal(table, row string, sealed []byte) ([]byte, error) {
	if len(sealed) == 0 {
		return nil, nil
	}
	if len(sealed) < sealHead || sealed[0] != sealMark {
		return nil, contracts.Errorf(contracts.Internal, "unseal %s, row %s: not a sealed value", table, row)
	}
	id := keyID(sealed[1 : 1+idSize])
	k := s.keys.keys[id]
	if k == nil {
		return nil, &contracts.Error{Kind: contracts.Internal, Err: &LostKey{Table: table, Row: row, Key: id.String()}}
	}
	plain, err := k.aead.Open(nil, sealed[1+idSize:sealHead], sealed[sealHead:], place(table, row))
	if err != nil {
		return nil, contracts.Errorf(contracts.Internal, "unseal %s, row %s: the value was changed, or belongs to another row", table, row)
	}
	return plain, nil
}

// Rewrap seals again, with the newest key, what an older one sealed. changed is false for a value that the newest key
// sealed already, and for an empty one.
func (s *Store) Rewrap(table, row string, sealed []byte) (fresh []byte, changed bool, err error) {
	if len(sealed) == 0 || len(sealed) >= sealHead && sealed[0] == sealMark && bytes.Equal(sealed[1:1+idSize], s.keys.last.id[:]) {
		return sealed, false, nil
	}
	plain, err := s.Unseal(table, row, sealed)
	if err != nil {
		return nil, false, err
	}
	fresh, err = s.Seal(table, row, plain)
	return fresh, err == nil, err
}

// A LostKey is why a sealed value cannot be opened any more: the key that sealed it is not in store.key.
type LostKey struct {
	Table, Row string
	Key        string // its id
}

// Error names the row that the key cost.
func (e *LostKey) Error() string {
	return fmt.Sprintf("unseal %s, row %s: sealed with key %s, which store.key does not hold", e.Table, e.Row, e.Key)
}

func place(table, row string) []byte {
	b := make([]byte, 0, 8+len(table)+len(row))
	b = binary.BigEndian.AppendUint32(b, uint32(len(table))) // length first, so that no two places run together
	b = append(b, table...)
	return append(b, row...)
}

// Digest is HMAC-SHA-256 under a key derived from the newest store key (KeyID): a digest of something with few possible
// values, such as a codice fiscale, that cannot be found by trying them all. Different purposes give unrelated digests.
func (s *Store) Digest(purpose string, b []byte) contracts.Sum { return s.keys.last.sum(purpose, b) }

// DigestBy is Digest under the key of that id, for comparing with a digest made before the key was rotated; false when
// the key is lost.
func (s *Store) DigestBy(key, purpose string, b []byte) (contracts.Sum, bool) {
	raw, err := hex.DecodeString(key)
	if err != nil || len(raw) != idSize || s.keys.keys[keyID(raw)] == nil {
		return contracts.Sum{}, false
	}
	return s.keys.keys[keyID(raw)].sum(purpose, b), true
}

// KeyID names the key with which Seal and Digest work now: eight hexadecimal characters.
func (s *Store) KeyID() string { return s.keys.last.id.String() }

func (k *sealer) sum(purpose string, b []byte) (sum contracts.Sum) {
	h := hmac.New(sha256.New, k.digest)
	var n [4]byte
	binary.BigEndian.PutUint32(n[:], uint32(len(purpose)))
	h.Write(n[:])
	h.Write([]byte(purpose))
	h.Write(b)
	h.Sum(sum[:0])
	return sum
}

// noteKeys writes down which keys this database has been sealed with, and gives the ids of those that are lost.
func (s *Store) noteKeys(tx *Tx) (lost []string, err error) {
	if _, err := tx.Exec("INSERT INTO store_key (id) VALUES (?) ON CONFLICT DO NOTHING", s.KeyID()); err != nil {
		return nil, err
	}
	rows, err := tx.Query("SELECT id FROM store_key ORDER BY id")
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		raw, err := hex.DecodeString(id)
		if err != nil || len(raw) != idSize {
			return nil, errors.New("store_key holds something that is no key id")
		}
		if s.keys.keys[keyID(raw)] == nil {
			lost = append(lost, id)
		}
	}
	return lost, rows.Err()
}
