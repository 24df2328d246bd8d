{ lib, pkgs, modulesPath, ... }:
let
  python = pkgs.python3.withPackages (p: [ p.gunicorn p.psycopg2 p.pymemcache p.redis ]);
in
{
  imports = [
    "${modulesPath}/profiles/minimal.nix"
    "${modulesPath}/profiles/qemu-guest.nix"
  ];

  boot.loader.systemd-boot.enable = true;
  boot.loader.systemd-boot.configurationLimit = 5;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/boot" = {
    device = "/dev/disk/by-label/ESP";
    fsType = "vfat";
  };

  networking.hostName = "counter";
  networking.useDHCP = true;
  networking.firewall.allowedTCPPorts = [ 80 ];

  services.nginx = {
    enable = true;
    recommendedProxySettings = true;
    virtualHosts.default = {
      default = true;
      root = ../site;
      locations."/".tryFiles = "$uri @shop";
      locations."@shop".proxyPass = "http://unix:/run/shop.sock";
    };
  };

  # The socket belongs to systemd, so a restart of the shop loses no connection.
  systemd.sockets.shop = {
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "/run/shop.sock" ];
    socketConfig.SocketUser = "nginx";
    socketConfig.SocketMode = "0600";
  };
  systemd.services.shop = {
    requires = [ "postgresql.service" "redis-shop.service" "memcached.service" ];
    after = [ "postgresql.service" "redis-shop.service" "memcached.service" ];
    serviceConfig = {
      Type = "notify";
      ExecStart = "${python}/bin/gunicorn --chdir ${../app} --workers 2 shop:app";
      Restart = "always";
      DynamicUser = true;
      CapabilityBoundingSet = "";
      NoNewPrivileges = true;
      PrivateDevices = true;
      PrivateTmp = true;
      ProtectHome = true;
      ProtectSystem = "strict";
      SystemCallFilter = [ "@system-service" "~@privileged" ];
    };
  };

  services.postgresql = {
    enable = true;
    package = pkgs.postgresql_17;
    ensureDatabases = [ "shop" ];
    ensureUsers = [ { name = "shop"; ensureDBOwnership = true; } ];
    authentication = "host shop shop 127.0.0.1/32 trust";
    settings.listen_addresses = lib.mkForce "127.0.0.1";
  };
  systemd.services.postgresql.postStart = lib.mkAfter ''
    if ! psql -tAc "SELECT FROM pg_tables WHERE tablename = 'goods'" shop | grep -q .; then
      psql -f ${../schema.sql} shop
    fi
  '';

  services.redis.servers.shop = {
    enable = true;
    port = 6379;
    appendOnly = true;
    settings.maxmemory = "64mb";
  };

  services.memcached = {
    enable = true;
    maxMemory = 64;
  };

  system.stateVersion = "25.05";
}
