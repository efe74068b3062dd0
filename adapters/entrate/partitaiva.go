package entrate

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"

	"raccordo/contracts"
	"raccordo/contracts/tax"
)

// numbers is the VAT-number check.
type numbers struct{ *gateway }

func openNumbers(ctx context.Context, cfg REST, env contracts.Env) (*numbers, error) {
	g, err := openGateway(ctx, cfg, env)
	if err != nil {
		return nil, err
	}
	g.noStatus = true
	return &numbers{g}, nil
}

func (n *numbers) bindings() []contracts.Binding {
	return []contracts.Binding{contracts.Bind(tax.OpVAT, n.CheckVAT)}
}

// CheckVAT says what a partita IVA stands for.
func (n *numbers) CheckVAT(ctx context.Context, q tax.VATQuery) (tax.VAT, error) {
	number := q.PartitaIVA.Reveal()
	body, err := json.Marshal(struct {
		PartitaIVA string `json:"partitaIva"`
	}{number})
	if err != nil {
		return tax.VAT{}, n.wire.Fail(ctx, contracts.Errorf(contracts.Internal, "%s: %w", routeVerify, err))
	}
	resp, err := n.post(ctx, body)
	if err != nil {
		return tax.VAT{}, err
	}
	fields, err := read(resp)
	if err != nil {
		return tax.VAT{}, resp.Malformed(ctx, err.Error())
	}
	e, err := parseEntry(fields)
	if err != nil {
		return tax.VAT{}, resp.Malformed(ctx, err.Error())
	}
	if e.number != number {
		return tax.VAT{}, resp.Malformed(ctx, errAlien.Error())
	}
	for _, d := range e.strange {
		n.alarm(ctx, d.field, d.text, slog.Bool("valida", e.Assigned))
	}
	e.Register, e.AsOf = Register, n.env.Clock.Now()
	return e.VAT, nil
}

// An entry is VerificaPartitaIva, with the fields that were not understood.
type entry struct {
	tax.VAT
	number  string
	strange []strange
}

// A strange field is one whose text is none of those agreed.
type strange struct{ field, text string }

var (
	errEntry     = errors.New("partitaIva or valida is missing")
	errDisagrees = errors.New("the number is said not to be assigned, and is described")
)

// parseEntry reads an answer. A number that is not assigned has no facts: where some are given, the answer contradicts
// itself, and is not a no.
func parseEntry(o object) (entry, error) {
	r := reading{object: o}
	e := entry{number: strings.TrimPrefix(strings.ToUpper(r.text("partitaIva")), "IT")}
	assigned := r.truth("valida")
	e.Name = contracts.NewPrivate(clip(r.text("denominazione")))
	e.Since = e.day(&r, "dataInizioAttivita")
	ceased, suspended := e.day(&r, "dataCessazioneAttivita"), e.day(&r, "dataInizioSospensione")
	e.Group = isTrue(r.truth("isGruppoIva"))
	e.Member = e.membership(&r)
	state := r.text("stato")
	switch {
	case r.err != nil:
		return entry{}, r.err
	case assigned == nil || e.number == "":
		return entry{}, errEntry
	case !*assigned && (state != "" || ceased != "" || suspended != "" || r.text("partitaIvaGruppo") != "" || e.described()):
		return entry{}, errDisagrees
	case !*assigned:
		return e, nil
	}
	e.Assigned = true
	switch strings.ToUpper(state) {
	case "ATTIVA":
		if e.Status = tax.VATActive; ceased != "" || suspended != "" { // it cannot be both
			e.Status = ""
			e.unclear("stato", state)
		}
	case "CESSATA":
		e.Status, e.Ceased = tax.VATCeased, ceased
	case "SOSPESA":
		e.Status, e.Suspended = tax.VATSuspended, suspended
	default:
		e.unclear("stato", state)
	}
	return e, nil
}

func (e *entry) described() bool {
	return !e.Name.IsZero() || e.Since != "" || e.Group || e.Member != nil || len(e.strange) > 0
}

// membership is the part in a VAT group: said by its own field, or by the group's number where that field is left out.
func (e *entry) membership(r *reading) *tax.Membership {
	member, group := r.truth("isPartecipanteGruppoIva"), r.text("partitaIvaGruppo")
	since := e.day(r, "dataInizioPartecipazioneGruppoIva")
	if member == nil && group == "" || member != nil && !*member {
		return nil
	}
	number, err := contracts.ParsePartitaIVA(group)
	if err != nil {
		e.unclear("partitaIvaGruppo", group) // a member it is all the same, of a group that we cannot name
	}
	return &tax.Membership{Group: number, Since: since}
}

// The days by which the registry writes that it does not know, or that there is no end.
const (
	noBeginning = "1001-01-01"
	noEnd       = "9999-12-31"
)

// day is a date; empty where the registry does not know it. One that cannot be read is a fact that we lack, and no
// reason to hold back the others.
func (e *entry) day(r *reading, field string) contracts.Date {
	text := r.text(field)
	if text == "" || text == noBeginning || text == noEnd {
		return ""
	}
	d, err := contracts.ParseDate(text)
	if err != nil {
		e.unclear(field, text)
		return ""
	}
	return d
}

func (e *entry) unclear(field, text string) { e.strange = append(e.strange, strange{field, text}) }

func isTrue(b *bool) bool { return b != nil && *b }
