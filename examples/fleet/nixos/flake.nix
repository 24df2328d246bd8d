{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = { nixpkgs, ... }:
    let
      inherit (nixpkgs) lib;
      regions = {
        north = "10.1.0";
        south = "10.2.0";
      };
      host = name: network: last: role: lib.nameValuePair name (lib.nixosSystem {
        system = "x86_64-linux";
        specialArgs = { inherit network; };
        modules = [
          ./member.nix
          role
          {
            networking.hostName = name;
            networking.interfaces.eth0.ipv4.addresses = [
              { address = "${network}.${toString last}"; prefixLength = 24; }
            ];
            networking.defaultGateway = "${network}.1";
          }
        ];
      });
      region = name: network:
        [ (host "balancer-${name}-0" network 2 ./balancer.nix) ]
        ++ map (n: host "page-${name}-${toString n}" network (9 + n) ./page.nix) (lib.range 1 24);
    in
    {
      nixosConfigurations = lib.listToAttrs (lib.concatLists (lib.mapAttrsToList region regions));
    };
}
