package entrate

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
)

// keywords are the attribute types to which RFC 1779, section 2.3, gives a name; the others are written by their number.
func keyword(id asn1.ObjectIdentifier) string {
	if len(id) == 4 && id[0] == 2 && id[1] == 5 && id[2] == 4 {
		switch id[3] {
		case 3:
			return "CN"
		case 6:
			return "C"
		case 7:
			return "L"
		case 8:
			return "ST"
		case 9:
			return "STREET"
		case 10:
			return "O"
		case 11:
			return "OU"
		}
	}
	return "OID." + id.String()
}

var errIssuerName = errors.New("the name of its issuer cannot be written as RFC 1779 wants it")

// issuerName writes a distinguished name as RFC 1779 does: the most specific part first, ", " between parts. Go's own
// pkix writes RFC 2253, which names and quotes differently, and a counterpart that compares strings tells the two apart.
func issuerName(der []byte) (string, error) {
	var parts pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &parts); err != nil || len(rest) > 0 || len(parts) == 0 {
		return "", errIssuerName
	}
	var b strings.Builder
	for i := len(parts) - 1; i >= 0; i-- {
		if b.Len() > 0 {
			b.WriteString(", ")
		}
		for j, pair := range parts[i] {
			if j > 0 {
				b.WriteString(" + ")
			}
			value, ok := pair.Value.(string)
			if !ok || !printable(value) {
				return "", errIssuerName
			}
			b.WriteString(keyword(pair.Type))
			b.WriteByte('=')
			b.WriteString(quoteName(value))
		}
	}
	return b.String(), nil
}

// quoteName puts a value in quotes where RFC 1779 demands it, which is where a part's end could not be told.
func quoteName(s string) string {
	if !strings.ContainsAny(s, ",+=\"<>#;\\") && s == strings.TrimSpace(s) && !strings.Contains(s, "  ") {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
