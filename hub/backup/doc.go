// Package backup makes copies of a hub that is at work, verifies them, and puts one back.
//
// # What a backup holds
//
// A folder of backups belongs to one chain (one hub's store), which raccordo-backups.json says. In it lies a folder per
// backup, named for its instant (UTC), and the sealed files of the archive, which all backups share:
//
//	raccordo-backups.json            format and chain
//	20261122T013000.000Z/hub.db      the database, of one instant
//	20261122T013000.000Z/files.sha256  the digest of every file of this backup, as sha256sum -c reads it
//	20261122T013000.000Z/manifest.json written last: without it a backup is not complete
//	proofs/3f/3f…e1.0a1b2c3d         a sealed proof: digest of its plain bytes, beginning of the digest of the file
//
// The database is copied first, then the files: what the database refers to was on the disk before it was committed, so
// no file is missing, and one that came in between is harmless. A file of a proof that is sealed anew has another name
// here, so that older backups stay as they are. The list of the latest backup saves reading files again that have the
// same size and time; Verify reads them all.
//
// # What it does not hold
//
// Secrets: neither the keys that seal (Manifest.Keys names them) nor the one that signs the ledger, nor the configuration.
// Without the sealing keys a backup tells nobody anything but digests, sizes and times.
package backup
