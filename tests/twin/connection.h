// One connection, from its first request to its end.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "twin/host.h"

namespace cairn::twin {

// Returns when the connection is over; does not close the socket. `tls`: null without.
void serve_connection(Host& host, boost::asio::ip::tcp::socket& socket, boost::asio::ssl::context* tls);

}  // namespace cairn::twin
