package pec

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // G505: what receipts of form breve hold, by RFC 6109 section 2.2.3
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// Results of comparing what a receipt returns with what was sent.
const (
	Match    = "MATCH"    // every part that is not a header is, decoded, what was sent; or its hash is
	Mismatch = "MISMATCH" // some part is not
)

// Forms in which hashes of a receipt "breve" are made: the rules can be read either way.
const (
	HashDecoded = "decoded" // SHA-1 of the part's content
	HashEncoded = "encoded" // SHA-1 of its base64 or other encoded text, with line ends of the wire
)

// A Comparison binds a delivery receipt to the message that it is about. A mismatch is information for a person, not a
// failure of the delivery: providers may rewrite what they carry.
type Comparison struct {
	Result  string   `json:"result"`
	Parts   int      `json:"parts"`             // compared
	Hashes  []string `json:"hashes,omitempty"`  // of a receipt "breve": the forms that all hashes have which are right
	Differ  []string `json:"differ,omitempty"`  // places of parts that are not what was sent: "2", "1.2"; "structure" when they cannot be paired
	Headers []string `json:"headers,omitempty"` // names of the message's own fields that are not as they were sent
}

const (
	maxLeaves = 500
	maxNest   = 20 // multiparts within multiparts; deeper ones are compared whole, undecoded
)

var errLeaves = errors.New("too many parts")

// Returned gives the message that a receipt carries (postacert.eml), as it lies there; nothing when it carries none. The
// signature is not looked at.
func Returned(receipt []byte) []byte {
	o, _ := open(receipt) // whatever else is wrong with it
	return o.returned
}

// Compare compares the message that a delivery receipt returns (postacert.eml) with the bytes that were sent, part by part
// (pec.md sections 4 and 16). Names of parts decide nothing, save that one which ends in .hash and was not sent so stands
// for the part whose hash it holds. It needs memory for two parts besides what it is given.
func Compare(returned, sent []byte) Comparison {
	c := Comparison{Result: Mismatch}
	a, errA := leavesOf(returned)
	b, errB := leavesOf(sent)
	if errA != nil || errB != nil || len(a.leaves) != len(b.leaves) {
		c.Differ = []string{"structure"}
		return c
	}
	forms, known := []string{HashDecoded, HashEncoded}, false
	for i, got := range a.leaves {
		want := b.leaves[i]
		c.Parts++
		if strings.HasSuffix(got.name, ".hash") && !strings.HasSuffix(want.name, ".hash") {
			found := want.hashedAs(got)
			if len(found) == 0 {
				c.Differ = append(c.Differ, got.place)
				continue
			}
			known = true
			forms = slices.DeleteFunc(forms, func(f string) bool { return !slices.Contains(found, f) })
			continue
		}
		if !got.same(want) {
			c.Differ = append(c.Differ, got.place)
		}
	}
	if known {
		c.Hashes = forms
	}
	c.Headers = a.headersOf(b)
	if len(c.Differ) == 0 {
		c.Result = Match
	}
	return c
}

// A leaf is a part that is no multipart.
type leaf struct {
	entity
	place string
	name  string
}

type flat struct {
	root   entity
	leaves []leaf
}

func leavesOf(message []byte) (f flat, err error) {
	if f.root, err = readEntity(message); err != nil {
		return f, err
	}
	return f, f.walk(f.root, "", 0)
}

func (f *flat) walk(e entity, place string, depth int) error {
	kind, name := e.kindAndName()
	if strings.HasPrefix(kind, "multipart/") && depth < maxNest {
		parts, err := e.parts()
		if err != nil {
			return err
		}
		for i, p := range parts {
			child, err := readEntity(p)
			if err != nil {
				return err
			}
			if err := f.walk(child, strings.TrimPrefix(place+"."+strconv.Itoa(i+1), "."), depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if len(f.leaves) == maxLeaves {
		return errLeaves
	}
	if place == "" {
		place = "1"
	}
	f.leaves = append(f.leaves, leaf{e, place, name})
	return nil
}

// same tells whether two parts have the same content. Line ends of the wire and bare ones are one in text.
func (l leaf) same(other leaf) bool {
	encoding := lower(l.get("content-transfer-encoding"))
	if encoding == lower(other.get("content-transfer-encoding")) && bytes.Equal(l.body, other.body) {
		return true
	}
	a, errA := l.decoded(len(l.body))
	b, errB := other.decoded(len(other.body))
	if errA != nil || errB != nil {
		return false
	}
	return bytes.Equal(a, b) || bareLF(a) != bareLF(b) && bytes.Equal(toCRLF(a), toCRLF(b))
}

// hashedAs tells in which forms a hash is that of this part.
func (l leaf) hashedAs(hash leaf) (forms []string) {
	text, err := hash.decoded(len(hash.body))
	want := strings.ToLower(strings.TrimSpace(string(text[:min(len(text), 100)])))
	if err != nil || len(want) != hex.EncodedLen(sha1.Size) {
		return nil
	}
	is := func(parts ...[]byte) bool {
		h := sha1.New() //nolint:gosec // G401: see the import
		for _, p := range parts {
			h.Write(p)
		}
		return hex.EncodeToString(h.Sum(nil)) == want
	}
	if b, err := l.decoded(len(l.body)); err == nil && is(b) {
		forms = append(forms, HashDecoded)
	}
	wire := l.body
	if bareLF(wire) {
		wire = toCRLF(wire)
	}
	// With or without the line end that belongs to the boundary: the rules do not say.
	if is(wire) || is(wire, []byte("\r\n")) || is(bytes.TrimRight(wire, "\r\n")) {
		forms = append(forms, HashEncoded)
	}
	return forms
}

// headersOf names the fields of the sent message that came back otherwise or not at all. Those that a provider must change
// are left out.
func (f flat) headersOf(sent flat) (names []string) {
	for _, h := range sent.root.fields {
		switch h.name {
		case "message-id", "received", "x-riferimento-message-id", "return-path", "content-type", "mime-version":
			continue
		}
		words := strings.Fields(h.value)
		same := func(g field) bool { return g.name == h.name && slices.Equal(strings.Fields(g.value), words) }
		if !slices.ContainsFunc(f.root.fields, same) && !slices.Contains(names, h.name) {
			names = append(names, h.name)
		}
	}
	return names
}
