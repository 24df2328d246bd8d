# Builds a kernel from the source package at /source.
#
# /wanted is its configuration. /base, where it is there, is what a build of another
# configuration with the same compiler left: only what the difference reaches is compiled again.
# Leaves in $out what that build left, and bzImage, vmlinux (the same for machines without
# firmware), config and release. Where options did not take effect: lost, kconfig and names alone.
set -eu
cd /build
export KBUILD_BUILD_TIMESTAMP='1980-01-01 00:00:00' KBUILD_BUILD_USER=nos KBUILD_BUILD_HOST=nos
export KBUILD_BUILD_VERSION=1

# Other architectures, documentation and tests, but not the parts that the configuration reads.
mkdir src objects
tar -xJf /source/usr/src/linux-source-*.tar.xz -C src --strip-components=1 \
  --anchored --no-wildcards-match-slash --exclude-from=left-out
if [ -e /base/objects.tar.zst ]; then
  tar -x --zstd -f /base/objects.tar.zst -C objects
  # All of one age, and younger than the sources.
  touch now
  find objects -print0 | xargs -0 touch -h -r now
fi

make() { command make -s -C src O=/build/objects ARCH=x86 "$@"; }
make KCONFIG_ALLCONFIG=/wanted allnoconfig

# A line that is wanted is there as it is, or says that something is off that is off.
grep -vxFf objects/.config /wanted | while read -r line; do
  case $line in
    CONFIG_*) echo "$line" ;;
    '# CONFIG_'*' is not set')
      name=${line#\# }
      grep "^${name%% *}=" objects/.config || : ;;
  esac
done > lost
if [ -s lost ]; then
  find src -name 'Kconfig*' -type f -print0 | sort -z | xargs -0 cat > all
  sed -n 's/^[[:space:]]*\(menu\)\{0,1\}config \([A-Z0-9a-z_]*\)$/CONFIG_\2/p' all | sort -u > "$out/names"
  sed 's/^CONFIG_//; s/=.*//' lost | while read -r name; do
    awk -v name="$name" '
      /^[[:space:]]*(menu)?config[[:space:]]/ { inside = $2 == name; if (inside) print "config " name; next }
      /^(choice|endchoice|menu|endmenu|if|endif|source|comment)/ || /^[[:space:]]*(help|---help---)$/ { inside = 0 }
      inside' all
  done > "$out/kconfig"
  cp lost "$out/lost"
  exit 0
fi

# What unpacks the kernel is in front of it: its faster variants are larger than what they are worth.
make -j"$NOS_CORES" \
  'CFLAGS_misc.o=-Os -DHUF_FORCE_DECOMPRESS_X1 -DZSTD_FORCE_DECOMPRESS_SEQUENCES_SHORT' bzImage
cp objects/arch/x86/boot/bzImage objects/.config "$out/"
mv "$out/.config" "$out/config"
strip -o "$out/vmlinux" objects/vmlinux
make kernelrelease > "$out/release"
if [ -e keep ]; then
  # The whole kernel is linked anew in any case.
  rm -f objects/vmlinux objects/vmlinux.* objects/.tmp_vmlinux* objects/arch/x86/boot/bzImage \
    objects/arch/x86/boot/vmlinux.bin objects/arch/x86/boot/compressed/vmlinux*
  tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C objects . |
    zstd -q -3 -T1 -o "$out/objects.tar.zst"
fi
