package entrate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"unicode"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// codes is the fiscal-code check.
type codes struct{ *gateway }

func openCodes(ctx context.Context, cfg REST, env contracts.Env) (*codes, error) {
	g, err := openGateway(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	return &codes{g}, nil
}

func (c *codes) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(tax.OpCode, c.CheckCode)}
}

// CheckCode says whether a codice fiscale is in use. What the registry says in words that are not agreed is CodeUnclear.
func (c *codes) CheckCode(ctx context.Context, q tax.CodeQuery) (tax.CodeCheck, error) {
	code := q.CodiceFiscale.Reveal()
	body, err := json.Marshal(struct {
		CodiceFiscale string `json:"codiceFiscale"`
	}{code})
	if err != nil {
		return tax.CodeCheck{}, c.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: %w", routeVerify, err))
	}
	resp, err := c.post(ctx, body)
	if err != nil {
		return tax.CodeCheck{}, err
	}
	fields, err := read(resp)
	if err != nil {
		return tax.CodeCheck{}, resp.Malformed(ctx, err.Error())
	}
	said, err := parseVerdict(fields)
	if err != nil {
		return tax.CodeCheck{}, resp.Malformed(ctx, err.Error())
	}
	if !said.about(code) {
		return tax.CodeCheck{}, resp.Malformed(ctx, errAlien.Error())
	}
	answer := tax.CodeCheck{State: said.state(), Register: Register, AsOf: c.env.Clock.Now()}
	if answer.State == tax.CodeUnclear {
		answer.Text = contracts.NewPrivate(clip(said.message))
		c.alarm(ctx, "messaggio", said.message, slog.Bool("valido", said.valid))
	}
	return answer, nil
}

// A verdict is VerificaCodiceFiscale.
type verdict struct {
	code, message string
	valid         bool
}

var errVerdict = errors.New("codiceFiscale, valido or messaggio is missing")

func parseVerdict(o object) (verdict, error) {
	r := reading{object: o}
	v := verdict{code: r.text("codiceFiscale"), message: r.text("messaggio")}
	valid := r.truth("valido")
	switch {
	case r.err != nil:
		return verdict{}, r.err
	case valid == nil || v.code == "" || v.message == "":
		return verdict{}, errVerdict
	}
	v.valid = *valid
	return v, nil
}

// about reports whether the verdict is on a code. The contract's own examples of superseded codes have asterisks in its
// place: they name nobody, and so nobody else. Those of codes that are in use or unknown have the code itself.
func (v verdict) about(code string) bool {
	if strings.Trim(v.code, "*") == "" {
		state := v.state()
		return state != tax.CodeValid && state != tax.CodeInvalid
	}
	return strings.EqualFold(v.code, code)
}

// messages are the four agreed ones, as words makes them, with the truth value that belongs to each.
var messages = map[string]struct {
	valid bool
	state tax.CodeState
}{
	"codice fiscale valido": {true, tax.CodeValid},
	"codice fiscale valido non piu utilizzabile in quanto aggiornato in altro codice fiscale": {true, tax.CodeValidSuperseded},
	"codice fiscale non utilizzabile in quanto aggiornato in altro codice fiscale":            {false, tax.CodeSuperseded},
	"codice fiscale non valido": {false, tax.CodeInvalid},
}

// state is what the words mean, all of them: neither a message that is not agreed nor one that the truth value
// contradicts is read as the nearest one that we know.
func (v verdict) state() tax.CodeState {
	if m, ok := messages[words(v.message)]; ok && m.valid == v.valid {
		return m.state
	}
	return tax.CodeUnclear
}

// words is a message without what carries no meaning: case, accents, and all that stands between words (an accent may be
// a mark or an apostrophe behind its letter). The words and their order stay.
func words(message string) string {
	apart := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }
	return strings.Join(strings.FieldsFunc(strings.Map(folded, message), apart), " ")
}

// folded is a letter in lower case, without its accent.
func folded(r rune) rune {
	r = unicode.ToLower(r)
	for _, set := range [...]string{"aàáâä", "eèéêë", "iìíîï", "oòóôö", "uùúûü"} {
		if strings.ContainsRune(set, r) {
			return rune(set[0])
		}
	}
	return r
}
