{
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-25.05";

  outputs = { nixpkgs, ... }:
    let
      host = platform: nixpkgs.lib.nixosSystem {
        system = "x86_64-linux";
        modules = [ ./stack.nix platform ];
      };
    in
    {
      nixosConfigurations.cloud = host ./cloud.nix;
      nixosConfigurations.metal = host ./metal.nix;
    };
}
