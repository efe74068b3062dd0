package mail

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
)

const maxFolders = 2000

// A Listed is a folder of the mailbox, by its name in UTF-8.
type Listed struct {
	Name  string
	Delim rune // what parts the names of a hierarchy; zero: there is none
}

// Is reports whether a configured name is the folder's: "/" stands for whatever parts the names there.
func (l Listed) Is(name string) bool {
	return l.Name == name || l.Delim != 0 && l.Name == strings.ReplaceAll(name, "/", string(l.Delim)) ||
		strings.EqualFold(name, "INBOX") && strings.EqualFold(l.Name, "INBOX")
}

// Folders lists the folders that can be opened, 2000 at most.
func (s *Session) Folders() ([]Listed, error) {
	defer s.expect(listing)()
	all, err := s.client.List("", "*", nil).Collect()
	if err != nil {
		return nil, s.fault("list", err)
	}
	var out []Listed
	for _, f := range all {
		if len(out) == maxFolders {
			break
		}
		if !slices.Contains(f.Attrs, imap.MailboxAttrNoSelect) && !slices.Contains(f.Attrs, imap.MailboxAttrNonExistent) {
			out = append(out, Listed{Name: f.Mailbox, Delim: f.Delim})
		}
	}
	return out, nil
}

// Find looks in every folder that can be opened for messages whose header field holds value, and gives at most limit.
// Rules and people move receipts about. A folder that is not there or not for us is passed over; one that is only busy
// or away is an error, for what it holds is not known. So is one of those that must be read, by their configured names,
// if it is listed and refused without a code that says why: some servers answer a failing disk so.
func (s *Session) Find(header, value string, limit int, must []string) ([]Place, error) {
	folders, err := s.Folders()
	if err != nil {
		return nil, err
	}
	var found []Place
	for _, f := range folders {
		places, err := s.FindIn(f.Name, header, []string{value}, limit-len(found))
		if closed(err) && (explained(err) || !slices.ContainsFunc(must, f.Is)) {
			continue
		}
		if err != nil {
			return nil, err
		}
		found = append(found, places...)
	}
	return found, nil
}

const perSearch = 25 // values in one SEARCH: servers bound the length of a command

// FindIn opens a folder and looks for messages whose header field holds any of the values; it gives at most limit. A
// folder that is not there or not for us is Invalid or Denied.
func (s *Session) FindIn(folder, header string, values []string, limit int) ([]Place, error) {
	validity, err := s.Open(folder)
	if err != nil {
		return nil, err
	}
	var found []Place
	for some := range slices.Chunk(values, perSearch) {
		uids, err := s.search(anyOf(header, some), 0, limit-len(found))
		if err != nil {
			return nil, err
		}
		for _, uid := range uids {
			found = append(found, Place{Folder: folder, Validity: validity, UID: uid})
		}
	}
	return found, nil
}

// Older lists UIDs of the open folder beyond after, ascending and at most limit: of messages that came before a day, by
// the server's own zone, and whose header field holds value.
func (s *Session) Older(than time.Time, header, value string, after uint32, limit int) ([]uint32, error) {
	return s.search(&imap.SearchCriteria{Before: than.AddDate(0, 0, 1), Header: []imap.SearchCriteriaHeaderField{{Key: header, Value: value}}}, after, limit)
}

// anyOf builds a balanced tree of ORs: servers bound how deep a search may nest.
func anyOf(header string, values []string) *imap.SearchCriteria {
	if len(values) == 1 {
		return &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: header, Value: values[0]}}}
	}
	half := len(values) / 2
	return &imap.SearchCriteria{Or: [][2]imap.SearchCriteria{{*anyOf(header, values[:half]), *anyOf(header, values[half:])}}}
}

// search gives at most limit UIDs beyond after, ascending. It enumerates the answer's ranges itself: a range costs the
// server a few bytes and could cost us four thousand million.
func (s *Session) search(criteria *imap.SearchCriteria, after uint32, limit int) ([]uint32, error) {
	defer s.expect(listing)()
	var options *imap.SearchOptions
	if s.client.Caps().Has(imap.CapESearch) {
		options = &imap.SearchOptions{ReturnAll: true} // ranges instead of numbers
	}
	data, err := s.client.UIDSearch(criteria, options).Wait()
	if err != nil {
		return nil, s.fault("search", err)
	}
	set, _ := data.All.(imap.UIDSet)
	ranges := slices.Clone(set)
	slices.SortFunc(ranges, func(a, b imap.UIDRange) int { return cmp.Compare(a.Start, b.Start) })
	var out []uint32
	for _, r := range ranges {
		for u := max(uint64(r.Start), uint64(after)+1); u <= uint64(r.Stop) && len(out) < limit; u++ {
			after = uint32(u)
			out = append(out, after)
		}
	}
	return out, nil
}
