package entrate

import (
	"errors"
	"strings"

	"raccordo/contracts"
)

// The two words in which every answer of the SOAP services says what became of the question.

// Those that both share: of codiceRitorno, which tells of the exchange, and of dettaglioEsito, which tells why.
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
	if len(word) > 4 {
		return "" // theirs have four characters at most: it could be somebody's name or code
	}
	return word
}

var (
	errWords   = errors.New("the answer's codes are none of those agreed")
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
