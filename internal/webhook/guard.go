package webhook

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"crisol"
)

// Public addresses are what is left of the address space without what IANA's registries of special-purpose addresses
// (RFC 6890 and updates) reserve. The metadata services of clouds lie in link-local, private and shared networks, but for
// one.
var reserved = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24",
	"192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24",
	"203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	"168.63.129.16/32", // Azure's
	"2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20", "5f00::/16",
)

// global is what of IPv6 is given out at all; loopback, private, link-local, multicast and the forms that wrap an IPv4
// address lie outside of it.
var global = netip.MustParsePrefix("2000::/3")

func prefixes(texts ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		list = append(list, netip.MustParsePrefix(text))
	}
	return list
}

// Public says whether an address is one of the internet at large.
func Public(addr netip.Addr) bool {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.Zone() != "" || addr.Is6() && !global.Contains(addr) {
		return false
	}
	return !in(reserved, addr)
}

func in(list []netip.Prefix, addr netip.Addr) bool {
	for _, prefix := range list {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

func allowed(allow []netip.Prefix, addr netip.Addr) bool {
	return Public(addr) || in(allow, addr.Unmap().WithZone(""))
}

// refusedError: an address that webhooks may not reach.
type refusedError struct{ addr netip.Addr }

func (e *refusedError) Error() string {
	return fmt.Sprintf("%s is not a public address, and not among the networks that webhooks may reach", e.addr)
}

// guard is asked by the dialer for each address, after the name was resolved and before anything is sent: whatever a
// name resolves to, at whatever time, what is connected to was checked.
func guard(allow []netip.Prefix) func(network, address string, _ syscall.RawConn) error {
	return func(network, address string, _ syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if network != "tcp4" && network != "tcp6" {
			return fmt.Errorf("webhooks don't go over %s", network)
		}
		if !allowed(allow, to.Addr()) {
			return &refusedError{to.Addr()}
		}
		return nil
	}
}

// Check refuses addresses of receivers that can't be one, as early as they are named. What a name resolves to is looked
// at when it is connected to.
func Check(address string, allow []netip.Prefix) error {
	refused := func(why, hint string) error {
		return crisol.WithHint(crisol.Errorf(crisol.KindInput, "webhook address: %s", why), "%s", hint)
	}
	u, err := url.Parse(address)
	if err != nil {
		return refused("it is not a URL", "for example https://ci.example.com/crisol")
	}
	host := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	switch {
	case u.Scheme != "https" && u.Scheme != "http", host == "", u.Opaque != "":
		return refused("want http:// or https:// with a host", "for example https://ci.example.com/crisol")
	case u.User != nil:
		return refused("it holds a user or a password", "messages are signed: let the receiver check the signature")
	case u.Fragment != "":
		return refused("it holds a fragment", "leave out what follows #")
	}
	addr, err := netip.ParseAddr(host)
	if err == nil && !allowed(allow, addr) {
		return refused((&refusedError{addr}).Error(), "the operator of the service can allow networks")
	}
	return nil
}
