# Boots a throw-away Debian: see machine.rs. In namespaces of its own already; $1 is an empty
# directory. Mounts are seen here alone, and are gone when the last process here is.
set -euo pipefail
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root"
cd "$1/root"
mount -t proc proc proc
# What is in there is the kernel's, which is not the machine's own.
mount --bind proc/sys proc/sys
mount -o remount,ro,bind proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/shm dev/pts
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
for n in 0:stdin 1:stdout 2:stderr; do
    ln -s "/proc/self/fd/${n%:*}" "dev/${n#*:}"
done
# Nothing that the machine below would start, nor its names, nor what keeps packages from starting
# services.
rm -rf etc/systemd/system/*.wants etc/machine-id usr/sbin/policy-rc.d
touch etc/machine-id
printf 'nameserver 127.0.0.1\noptions attempts:1 timeout:1\n' >etc/resolv.conf
printf '127.0.0.1 localhost\n127.0.1.1 mx.example.org mx\n' >etc/hosts
echo mx.example.org >etc/hostname
hostname mx.example.org
# Not chroot: a service with PrivateUsers= cannot have it.
mkdir -p mnt/below
pivot_root . mnt/below
cd /
export container=octroi-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Shared among its own, or credentials, which are mounted on the way to a service, never arrive.
exec bash -c 'umount -l /mnt/below && mount --make-rshared / && exec /lib/systemd/systemd --system --unit=basic.target --show-status=0'
