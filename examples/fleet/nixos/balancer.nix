{ lib, network, ... }:
{
  services.haproxy = {
    enable = true;
    config = ''
      defaults
        mode http
        timeout connect 5s
        timeout client  30s
        timeout server  30s
      frontend all
        bind :80
        default_backend pages
      backend pages
        ${lib.concatMapStringsSep "\n  "
          (n: "server page-${toString n} ${network}.${toString (9 + n)}:80 check")
          (lib.range 1 24)}
    '';
  };
}
