package pec

const (
	maxASN1Depth  = 40 // nested values; real signatures reach 15
	maxASN1Values = 50_000
)

// boundedASN1 walks the values of BER or DER and reports whether they nest and number within limits: the library
// descends without any, and a stack that runs out ends the program.
func boundedASN1(b []byte) bool {
	values := 0
	var walk func(b []byte, depth int, indefinite bool) (rest []byte, ok bool)
	walk = func(b []byte, depth int, indefinite bool) ([]byte, bool) {
		for len(b) > 0 {
			values++
			if depth > maxASN1Depth || values > maxASN1Values || len(b) < 2 {
				return nil, false
			}
			if indefinite && b[0] == 0 && b[1] == 0 {
				return b[2:], true
			}
			constructed := b[0]&0x20 != 0
			at := 1
			if b[0]&0x1f == 0x1f { // high tag number
				for at < len(b) && b[at]&0x80 != 0 {
					at++
				}
				at++
			}
			if at >= len(b) {
				return nil, false
			}
			length, octets := int(b[at]), 0
			at++
			switch {
			case length == 0x80:
				if !constructed {
					return nil, false
				}
				var ok bool
				if b, ok = walk(b[at:], depth+1, true); !ok {
					return nil, false
				}
				continue
			case length > 0x80:
				octets = length & 0x7f
				if octets > 4 || at+octets > len(b) {
					return nil, false
				}
				length = 0
				for _, c := range b[at : at+octets] {
					length = length<<8 | int(c)
				}
				at += octets
			}
			if length > len(b)-at {
				return nil, false
			}
			if constructed {
				if _, ok := walk(b[at:at+length], depth+1, false); !ok {
					return nil, false
				}
			}
			b = b[at+length:]
		}
		return nil, !indefinite
	}
	_, ok := walk(b, 0, false)
	return ok
}
