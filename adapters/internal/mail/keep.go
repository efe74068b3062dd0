package mail

import (
	"github.com/emersion/go-imap/v2"

	"raccordo/contracts"
)

// A Quota is how full a mailbox is, in bytes by its server's count. Where the number of messages is nearer to its limit
// than their bytes, Used stands as near to Limit as they do.
type Quota struct {
	Used, Limit int64
}

// perMessage is what a receipt takes, about, where a server limits only the number of messages.
const perMessage = 32 << 10

// Fill is the share that is used, 1 for full; 0 where there is no limit.
func (q Quota) Fill() float64 {
	if q.Limit <= 0 {
		return 0
	}
	return float64(q.Used) / float64(q.Limit)
}

// Quota asks how full the mailbox of a folder is (RFC 9208). Where the server does not offer it or sets no limit, the
// limit is 0.
func (s *Session) Quota(folder string) (Quota, error) {
	defer s.expect(listing)()
	var bytes, messages Quota
	if !s.client.Caps().Has(imap.CapQuota) {
		return bytes, nil
	}
	roots, err := s.client.GetQuotaRoot(folder).Wait()
	if err != nil {
		return bytes, s.fault("quota", err)
	}
	for _, root := range roots {
		if r, ok := root.Resources[imap.QuotaResourceStorage]; ok && r.Limit > 0 && r.Limit < 1<<50 { // in KiB
			bytes = fuller(bytes, Quota{r.Usage << 10, r.Limit << 10})
		}
		if r, ok := root.Resources[imap.QuotaResourceMessage]; ok && r.Limit > 0 && r.Limit < 1<<45 {
			messages = fuller(messages, Quota{r.Usage * perMessage, r.Limit * perMessage})
		}
	}
	switch {
	case bytes.Limit == 0:
		return messages, nil
	case messages.Fill() > bytes.Fill():
		bytes.Used = int64(messages.Fill() * float64(bytes.Limit))
	}
	return bytes, nil
}

func fuller(a, b Quota) Quota {
	if a.Limit == 0 || b.Fill() > a.Fill() {
		return b
	}
	return a
}

const maxSized = 200_000

// Size adds up the sizes of a folder's messages, of 200,000 at most, for servers that count nothing themselves.
func (s *Session) Size(folder string) (bytes int64, err error) {
	if s.Has(string(imap.CapStatusSize)) {
		defer s.expect(listing)()
		data, err := s.client.Status(folder, &imap.StatusOptions{Size: true}).Wait()
		if err != nil {
			return 0, s.fault("status", err)
		}
		if data.Size != nil {
			return *data.Size, nil
		}
	}
	f, err := s.Examine(folder)
	if err != nil || f.Messages == 0 {
		return 0, err
	}
	defer s.expect(listing)()
	var all imap.SeqSet
	all.AddRange(1, min(f.Messages, maxSized))
	cmd := s.client.Fetch(all, &imap.FetchOptions{RFC822Size: true})
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		m, err := msg.Collect()
		if err != nil {
			break // the command's own error says why
		}
		bytes += m.RFC822Size
	}
	if err := cmd.Close(); err != nil {
		return 0, s.fault("fetch", err)
	}
	return bytes, nil
}

// Erase deletes messages of a folder for good: marks them and expunges exactly them, by UID EXPUNGE (RFC 4315). A bare
// EXPUNGE would delete what other people had marked, so where the server lacks UIDPLUS nothing is touched and the error is
// Invalid. The UIDVALIDITY must still be the one the UIDs were read under.
func (s *Session) Erase(folder string, validity uint32, uids []uint32) error {
	if len(uids) == 0 {
		return nil
	}
	if !s.Has(string(imap.CapUIDPlus)) && !s.Has(string(imap.CapIMAP4rev2)) {
		return contracts.Errorf(contracts.Invalid, "imap expunge: the server has no UIDPLUS; nothing was deleted")
	}
	defer s.expect(listing)()
	s.folder = ""
	data, err := s.client.Select(folder, nil).Wait()
	if err != nil {
		return s.fault("select", err)
	}
	if data.UIDValidity != validity {
		return contracts.Errorf(contracts.Conflict, "imap expunge: the folder was renumbered; nothing was deleted")
	}
	set := setOf(uids)
	err = s.client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Close()
	if err != nil {
		return s.fault("store", err)
	}
	if err := s.client.UIDExpunge(set).Close(); err != nil {
		return s.fault("expunge", err)
	}
	return nil
}
