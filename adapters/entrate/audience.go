package entrate

import (
	"encoding/base64"
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// refusal is why a voucher may have been refused, as far as we can see.
func (g *gateway) refusal(credentials string) string {
	if text := g.misdirected(credentials); text != "" {
		return text
	}
	return "it is made out to this endpoint: see on the PDND whether agreement and purpose are active, and whether our clock is right"
}

// misdirected says that a voucher is made out to another name than the one in http.endpoint, and what to write there;
// "" where they agree. The agency's gateway compares the audience with its own name, and it has two: the catalogue says
// modipa.agenziaentrate.gov.it where older texts say modipa.agenziaentrate.it, and paths differ likewise. The token is
// read for its audience only, without verification, and only for this text.
func (g *gateway) misdirected(credentials string) string {
	audiences := audiencesOf(credentials)
	if len(audiences) == 0 {
		return "its audience names no address"
	}
	ours := location{strings.ToLower(g.endpoint.Host), folder(g.endpoint.Path)}
	for _, a := range audiences {
		if a.host == ours.host && strings.HasPrefix(ours.folder, a.folder) {
			return ""
		}
	}
	theirs, mine := audiences[0].host, ours.host
	for _, a := range audiences {
		if a.host == ours.host {
			theirs, mine = a.folder, ours.folder
		}
	}
	return "it is made out to " + theirs + ", and http.endpoint says " + mine +
		": write the e-service's audience, as the PDND's catalogue has it, in http.endpoint"
}

// A location is where a service is: HOST or HOST:PORT, and a path that ends in one slash.
type location struct{ host, folder string }

func folder(path string) string { return strings.TrimRight(path, "/") + "/" }

var (
	audienceHost = regexp.MustCompile(`^[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,9}(:[0-9]{1,5})?$`)
	audiencePath = regexp.MustCompile(`^[A-Za-z0-9._~/-]{0,200}$`)
)

// audiencesOf reads aud from the payload of a compact JWS: a text or a list of texts (RFC 7519, section 4.1.3), each of
// them one audience or several between commas. Those that are no URL, with or without a scheme, are left out.
func audiencesOf(credentials string) []location {
	parts := strings.Split(strings.TrimPrefix(credentials, "Bearer "), ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return nil
	}
	var claims struct {
		Audience json.RawMessage `json:"aud"`
	}
	if json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	var texts []string
	if json.Unmarshal(claims.Audience, &texts) != nil {
		texts = make([]string, 1)
		if json.Unmarshal(claims.Audience, &texts[0]) != nil {
			return nil
		}
	}
	var out []location
	for _, text := range strings.SplitN(strings.Join(texts, ","), ",", 16) {
		text = strings.TrimSpace(text)
		if !strings.Contains(text, "://") {
			text = "https://" + text
		}
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if host := strings.ToLower(u.Host); audienceHost.MatchString(host) && audiencePath.MatchString(u.Path) {
			out = append(out, location{host, folder(u.Path)})
		}
	}
	return out
}
