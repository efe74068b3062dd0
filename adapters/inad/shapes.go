package inad

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"raccordo/adapters/internal/wire"
	"raccordo/contracts"
)

// The wire's own shapes, as the contract names them and as answers really look.

// An extraction is Response_Request_Digital_Address.
type extraction struct {
	CodiceFiscale  string    `json:"codiceFiscale"`
	Since          string    `json:"since"` // the instant of the extraction, not of the election
	DigitalAddress []element `json:"digitalAddress"`
}

// An element is Element_Digital_Address. UsageInfo is required on paper, and left out or null in real answers for an
// address in force.
type element struct {
	DigitalAddress      string     `json:"digitalAddress"`
	PracticedProfession string     `json:"practicedProfession"`
	UsageInfo           *usageInfo `json:"usageInfo"`
}

type usageInfo struct {
	Motivation      string `json:"motivation"`
	DateEndValidity string `json:"dateEndValidity"` // the last valid instant
}

// A verification is Response_Verify_Digital_Address.
type verification struct {
	Outcome       *bool  `json:"outcome"`
	DateTimeCheck string `json:"dateTimeCheck"`
}

// A listRequest is Request_List_Digital_Address; "pratical" is the contract's spelling, in the body only.
type listRequest struct {
	CodiciFiscali []string `json:"codiciFiscali"`
	Reference     string   `json:"praticalReference"`
}

// A listTaken is Response_Request_List_Digital_Address.
type listTaken struct {
	State string `json:"state"`
	ID    string `json:"id"`
}

// A listState is Response_Status_List_Digital_Address.
type listState struct {
	State string `json:"state"`
}

const (
	stateTaken   = "PRESA_IN_CARICO"
	stateWorking = "IN_ELABORAZIONE"
	stateReady   = "DISPONIBILE"
)

// A listAnswer is Response_List_Digital_Address.
type listAnswer struct {
	List []extraction `json:"list"`
}

var (
	// uuid is the contract's own pattern.
	uuid = regexp.MustCompile(`^[{]?[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}[}]?$`)
	// askable is the contract's own pattern for addresses.
	askable = regexp.MustCompile(`^[a-zA-Z0-9_.+-]+@[a-zA-Z0-9-]+\.[a-zA-Z0-9-.]+$`)
)

var (
	errNotJSON = errors.New("the answer is not JSON")
	errShape   = errors.New("the answer is not the JSON of the contract")
	errTwice   = errors.New("the answer says something twice")
	errInstant = errors.New("an instant of the answer cannot be read")
)

// decode reads a reply's JSON. encoding/json's own errors quote the input, so they stay here.
func decode(resp *wire.Response, v any) error {
	if !resp.JSON() {
		return errNotJSON
	}
	if wire.Twice(resp.Body) {
		return errTwice
	}
	return decodeBody(resp.Body, v)
}

func decodeBody(body []byte, v any) error {
	if json.Unmarshal(body, v) != nil {
		return errShape
	}
	return nil
}

// instant reads a date-time in RFC 3339, or with the colon of the zone left out, as the contract's text has it.
func instant(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05Z0700", s)
	}
	if err != nil || t.Year() < 2000 || t.Year() > 9999 {
		return time.Time{}, errInstant
	}
	return t, nil
}

// isProblem tells INAD's own error body from a page of some gateway.
func isProblem(body []byte) bool {
	p := wire.ParseProblem(body)
	return p.Status == "404" || p.Type == "NOT_FOUND"
}

// unknownPerson is how INAD says, in a 404, that somebody has no digital domicile; every other 404 is a technical
// fault: a wrong path, an unknown or deleted list.
const unknownPerson = "cf non trovato"

// failure maps a reply with an unwelcome status. INAD's type is the code; its detail is free text and never quoted.
func failure(ctx context.Context, resp *wire.Response) error {
	p := wire.ParseProblem(resp.Body)
	e := resp.Err(ctx, p.Type)
	if resp.Status == http.StatusNotFound && isProblem(resp.Body) && strings.Contains(strings.ToLower(p.Detail), unknownPerson) {
		e.Kind, e.Err = contracts.NotFound, errNone
	}
	return e
}

var errNone = errors.New("no digital domicile in force in INAD")
