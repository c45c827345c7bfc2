#include "cli/telling.h"

#include <utility>

#include "web/pages.h"

namespace cairn::cli {

void Telling::want(const std::optional<daemon::HttpSettings>& settings) {
  if (settings == wanted_) return try_again();
  server_.reset();
  wanted_ = settings;
  has_complained_ = false;
  try_again();
}

void Telling::open() {
  const auto pages = std::make_shared<web::Pages>(
      fleet_, web::PagesOptions{CAIRN_VERSION, wanted_->hosts, wanted_->metrics_databases},
      [this] { return random_.id().hex(); });
  Result<std::unique_ptr<web::HttpServer>> server = web::HttpServer::open(
      wanted_->listen, {}, [pages](const web::HttpRequest& request) { return pages->answer(request); });
  if (!server) {
    if (!std::exchange(has_complained_, true)) {
      log_.error("{}: nothing is told over HTTP until that is put right; all else goes on", server.error().message());
    }
    return;
  }
  server_ = std::move(*server);
  has_complained_ = false;
  log_.info("http://{}/ tells how it is going", text_of(server_->address()));
  if (!wanted_->listen.is_loopback) {
    log_.warn("{} can be reached from other machines, and nobody is asked who they are", text_of(server_->address()));
  }
}

}  // namespace cairn::cli
