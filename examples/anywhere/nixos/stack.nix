{ pkgs, ... }:
let
  python = pkgs.python3.withPackages (p: [ p.gunicorn p.redis ]);
in
{
  boot.loader.systemd-boot.enable = true;
  boot.loader.systemd-boot.configurationLimit = 10;
  fileSystems."/" = {
    device = "/dev/disk/by-label/nixos";
    fsType = "ext4";
  };
  fileSystems."/boot" = {
    device = "/dev/disk/by-label/ESP";
    fsType = "vfat";
  };
  networking.firewall.allowedTCPPorts = [ 80 ];

  services.nginx = {
    enable = true;
    recommendedProxySettings = true;
    virtualHosts.default = {
      default = true;
      root = ../shared/site;
      locations."/".tryFiles = "$uri @counter";
      locations."@counter".proxyPass = "http://unix:/run/counter.sock";
    };
  };

  # The socket belongs to systemd, so a restart of the counter loses no connection.
  systemd.sockets.counter = {
    wantedBy = [ "sockets.target" ];
    listenStreams = [ "/run/counter.sock" ];
    socketConfig.SocketUser = "nginx";
    socketConfig.SocketMode = "0600";
  };
  systemd.services.counter = {
    requires = [ "redis-numbers.service" ];
    after = [ "redis-numbers.service" ];
    serviceConfig = {
      Type = "notify";
      ExecStart = "${python}/bin/gunicorn --chdir ${../shared/app} --workers 2 counter:app";
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

  services.redis.servers.numbers = {
    enable = true;
    port = 6379;
    appendOnly = true;
    settings.maxmemory = "64mb";
  };

  system.stateVersion = "25.05";
}
