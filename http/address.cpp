#include <boost/asio/ip/address.hpp>
#include <charconv>

#include "core/error.h"
#include "http/server.h"

namespace daybook::http {
Address parse_address(const std::string& text) {
  const auto mistake = [&text](const std::string& what) {
    return UsageError("address \"" + text + "\": " + what + "; expected IP:PORT, such as 127.0.0.1:9464 or [::1]:9464");
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos) throw mistake("no port");
  Address address;
  const char* const end = text.data() + text.size();
  const auto [after, status] = std::from_chars(text.data() + colon + 1, end, address.port);
  if (status != std::errc() || after != end) throw mistake("the port is not a number from 0 to 65535");
  std::string host = text.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  const boost::asio::ip::address ip = boost::asio::ip::make_address(host, error);
  if (error || ip.is_v6() != bracketed) throw mistake("the host is not an IP address");
  address.host = ip.to_string();
  address.is_loopback = ip.is_loopback();
  return address;
}

}  // namespace daybook::http
