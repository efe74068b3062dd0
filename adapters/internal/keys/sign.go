package keys

import (
	"crypto"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/cryptosigner"
)

// RS256 gives the function that signs payloads with an RSA key as compact JWS (RFC 7515) of typ JWT; header holds what
// else the supplier wants in the header: kid, x5c.
func RS256(key crypto.Signer, header map[string]any) (func(payload []byte) (string, error), error) {
	opt := (&jose.SignerOptions{}).WithType("JWT")
	for name, value := range header {
		opt = opt.WithHeader(jose.HeaderKey(name), value)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: cryptosigner.Opaque(key)}, opt)
	if err != nil {
		return nil, err
	}
	return func(payload []byte) (string, error) {
		jws, err := signer.Sign(payload)
		if err != nil {
			return "", err
		}
		return jws.CompactSerialize()
	}, nil
}
