package entrate

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"raccordo/adapters/internal/soap"
	"raccordo/contracts"
)

// What the agency's SOAP services have in common: the two words in which every answer says what became of the question.

// The words that they share: of codiceRitorno, which tells of the exchange, and of dettaglioEsito, which tells why.
const (
	ritornoDone   = "00" // processed
	ritornoError  = "01"
	ritornoWrong  = "02" // badly formed
	ritornoWrong3 = "03" // likewise, in the eyes of a public client

	esitoDone     = "XX00"
	esitoPerson   = "XX01" // the person's code is wrong
	esitoTimeout  = "XX03" // inside the agency
	esitoDenied   = "XX04"
	esitoError    = "XX0A"
	esitoNotCoded = "XXXX"
)

// A said is the two words of one answer.
type said struct{ ritorno, dettaglio string }

func saidOf(ritorno, dettaglio string) said {
	return said{strings.TrimSpace(ritorno), strings.TrimSpace(dettaglio)}
}

// code is the word that stands in an error's Code: the one that tells more.
func (s said) code() string {
	word := s.dettaglio
	if s.ritorno != ritornoDone && (word == esitoDone || word == esitoNotCoded || word == "") {
		word = s.ritorno
	}
	if len(word) > 16 {
		return "" // none of theirs, and perhaps somebody's name
	}
	return word
}

var (
	// errWords is that of words that are not agreed: from them nothing is concluded, and an operator hears of it.
	errWords = errors.New("the answer's codes are none of those agreed")

	errBusy    = errors.New("the agency could not process the question: ask again later")
	errPerson  = errors.New("the codice fiscale is wrong in the agency's eyes: correct it")
	errRefused = errors.New("the agency does not let us ask: see the agreement, the office and the certificate that signs assertions")
	errWrong   = errors.New("the agency finds the question badly formed")
)

// A term is a word of dettaglioEsito that one service alone uses, and what it means there.
type term struct {
	word  string
	kind  contracts.Kind
	cause error
}

// failure is the error that the words stand for; nil where the question was processed.
func (s said) failure(own ...term) *contracts.Error {
	switch s.ritorno {
	case ritornoDone, ritornoError, ritornoWrong, ritornoWrong3:
	default:
		return s.err(contracts.Malformed, errWords)
	}
	for _, t := range own {
		if t.word == s.dettaglio {
			return s.err(t.kind, t.cause)
		}
	}
	switch s.dettaglio {
	case esitoPerson:
		return s.err(contracts.Invalid, errPerson)
	case esitoError, esitoTimeout:
		return s.err(contracts.Unavailable, errBusy)
	case esitoDenied:
		return s.err(contracts.Denied, errRefused)
	case esitoDone, esitoNotCoded: // codiceRitorno alone tells
	default:
		return s.err(contracts.Malformed, errWords)
	}
	switch s.ritorno {
	case ritornoDone:
		return nil
	case ritornoError:
		return s.err(contracts.Unavailable, errBusy)
	}
	return s.err(contracts.Invalid, errWrong)
}

func (s said) err(kind contracts.Kind, cause error) *contracts.Error {
	return &contracts.Error{Kind: kind, Code: s.code(), Err: cause}
}

// called carries out an operation. A 401 is answered with a new assertion, once, as the largest public client does: the
// gateway in front has been seen to refuse one that it takes the next time. A reply that keeps the rules of SOAP and yet is no answer is an alarm; pages of
// gateways, noise and time-outs are not.
func called[Resp any](ctx context.Context, env contracts.Env, c *soap.Client, op soap.Operation, req any) (*Resp, *soap.Reply, error) {
	answer, reply, err := soap.Call[Resp](ctx, c, op, req)
	if err != nil && reply != nil && reply.Status == http.StatusUnauthorized {
		answer, reply, err = soap.Call[Resp](ctx, c, op, req)
	}
	if err != nil && contracts.KindOf(err) == contracts.Malformed && reply != nil && reply.Envelope != nil {
		alarm(ctx, env, contracts.AsError(err))
	}
	return answer, reply, err
}

// alarm tells an operator that an answer was not understood: the service's contract has changed, or something stands in
// between. Of the words themselves only known codes are logged, since others could name somebody.
func alarm(ctx context.Context, env contracts.Env, e *contracts.Error) {
	op := ""
	if c := contracts.CallFrom(ctx); c != nil {
		op = c.Op.Name
	}
	env.Log.LogAttrs(ctx, slog.LevelError, "contract drift: the agency answers otherwise than was agreed, and nothing is concluded from it",
		slog.String("system", env.Instance), slog.String("operation", op), slog.String("rule", e.Err.Error()))
}
