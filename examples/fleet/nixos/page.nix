{
  services.nginx = {
    enable = true;
    virtualHosts.default = {
      default = true;
      root = ../site;
    };
  };
}
