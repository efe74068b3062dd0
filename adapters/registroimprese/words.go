package registroimprese

import (
	"strings"

	"raccordo/contracts"
	"raccordo/contracts/company"
)

const longest = 300 // bytes kept of a text for people

// line keeps a text fit for display: one line, bounded.
func line(s string) string {
	s = strings.Join(strings.Fields(strings.ToValidUTF8(s, "")), " ")
	if len(s) > longest {
		s = strings.ToValidUTF8(s[:longest], "")
	}
	return s
}

func upper(s string) string { return strings.ToUpper(strings.TrimSpace(s)) }

// letters reports whether s is n capital letters.
func letters(s string, n int) bool {
	return len(s) == n && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == ""
}

// digits reports whether s is least to most digits.
func digits(s string, least, most int) bool {
	return len(s) >= least && len(s) <= most && strings.Trim(s, "0123456789") == ""
}

// An address is a registered office, as both roads spell it; nCivico is getnCivico in the official file of road wspa, by a
// slip of its generator.
type address struct {
	Comune     string `json:"comune"`
	Provincia  string `json:"provincia"`
	Toponimo   string `json:"toponimo"`
	Via        string `json:"via"`
	NCivico    string `json:"nCivico"`
	GetNCivico string `json:"getnCivico"`
	CAP        string `json:"cap"`
	// Denominazione stands here in the largest client's file, and beside the address in the official one.
	Denominazione string `json:"denominazione"`
}

// seat reads an office. One without comune and province decides nothing: not ok, and whoever needs it learns that it is
// not known.
func (a *address) seat() (s company.Seat, ok bool) {
	if a == nil {
		return company.Seat{}, false
	}
	s.Comune, s.Province = line(a.Comune), upper(a.Provincia)
	if s.Comune == "" || !letters(s.Province, 2) {
		return company.Seat{}, false
	}
	if zip := strings.TrimSpace(a.CAP); digits(zip, 5, 5) {
		s.CAP = zip
	}
	number := a.NCivico
	if strings.TrimSpace(number) == "" {
		number = a.GetNCivico
	}
	s.Street = contracts.NewPrivate(line(a.Toponimo + " " + a.Via + " " + number))
	return s, true
}

// is reports whether a code of an answer is the one asked about.
func is(told, asked string) bool { return upper(told) == asked }

// without lists the attributes that are not known, in the contract's order.
func without(known map[company.Attribute]bool) []company.Attribute {
	var out []company.Attribute
	for _, a := range company.Attributes() {
		if !known[a] {
			out = append(out, a)
		}
	}
	return out
}
