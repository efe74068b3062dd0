package wire

import (
	"bytes"
	"encoding/json"
	"strings"
)

// deepest is the nesting of objects and arrays beyond which no reply of a supplier goes.
const deepest = 64

// Twice reports whether some object of a reply has a name twice, in whatever case, or is nested beyond all reason.
// encoding/json lets the last one win, and takes names in any case: an answer that says yes and no would be whichever
// comes later. What is no JSON is the decoder's to refuse, and nothing is said of it here.
func Twice(body []byte) bool {
	var (
		room   [few][]byte // most replies need no more, and nothing is allocated for them
		levels [deepest]level
		s      = scan{text: body, names: room[:0]}
		open   = levels[:0]
	)
	for s.at < len(body) {
		c := body[s.at]
		s.at++
		var top *level
		if len(open) > 0 {
			top = &open[len(open)-1]
		}
		switch c {
		case '{', '[':
			if len(open) == deepest {
				return true
			}
			open = append(open, level{object: c == '{', named: c == '{', names: len(s.names)})
		case '}', ']':
			if top == nil {
				return false
			}
			s.names = s.names[:top.names]
			open = open[:len(open)-1]
		case ',':
			if top != nil {
				top.named = top.object
			}
		case '"':
			text, ok := s.quoted()
			if !ok {
				return false
			}
			if top == nil || !top.named {
				continue
			}
			top.named = false
			if s.seen(top, text) {
				return true
			}
		}
	}
	return false
}

// A level is one object or array that is open.
type level struct {
	object bool
	named  bool            // the next text is a name
	names  int             // where its names begin
	many   map[string]bool // folded, where there are too many to compare
}

type scan struct {
	text  []byte
	at    int
	names [][]byte // of all objects that are open
}

// quoted gives the text in quotes that begins here; not ok where it does not end.
func (s *scan) quoted() ([]byte, bool) {
	begin := s.at
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			raw := s.text[begin:s.at]
			s.at++
			if bytes.IndexByte(raw, '\\') < 0 {
				return raw, true
			}
			var text string
			if json.Unmarshal(s.text[begin-1:s.at], &text) != nil {
				return nil, true // the decoder will refuse it
			}
			return []byte(text), true
		}
	}
	return nil, false
}

// few is how many names are compared one by one.
const few = 32

func (s *scan) seen(l *level, name []byte) bool {
	own := s.names[l.names:]
	if l.many == nil && len(own) < few {
		for _, n := range own {
			if bytes.EqualFold(n, name) {
				return true
			}
		}
		s.names = append(s.names, name)
		return false
	}
	if l.many == nil {
		l.many = make(map[string]bool, 2*few)
		for _, n := range own {
			l.many[folded(n)] = true
		}
	}
	one := folded(name)
	if l.many[one] {
		return true
	}
	l.many[one] = true
	return false
}

// folded brings letters to one case, as encoding/json does: ſ is s, and the Kelvin sign k.
func folded(name []byte) string { return strings.ToLower(strings.ToUpper(string(name))) }
