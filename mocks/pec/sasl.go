package pec

import (
	"errors"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// A loginServer is the server's side of AUTH LOGIN (draft-murchison-sasl-login), which the library leaves out.
type loginServer struct {
	check func(user, password string) error
	user  string
	asked bool
	named bool
}

// Next asks for the name, then for the password.
func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	switch {
	case !l.named && response == nil && !l.asked:
		l.asked = true
		return []byte("Username:"), false, nil
	case !l.named:
		l.named, l.user = true, string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.check(l.user, string(response))
}

// permanent makes every failure of a mechanism a permanent one: go-smtp answers other errors with 454, and clients would
// then try for ever.
type permanent struct{ sasl.Server }

// Next is the mechanism's own, with its errors made permanent.
func (p *permanent) Next(response []byte) ([]byte, bool, error) {
	challenge, done, err := p.Server.Next(response)
	if e := new(smtp.SMTPError); err != nil && !errors.As(err, &e) {
		err = &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Malformed authentication"}
	}
	return challenge, done, err
}
