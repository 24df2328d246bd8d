# Answers one request on the socket that it was started with, and ends.
die "not for me" unless $ENV{LISTEN_PID} == $$ && $ENV{LISTEN_FDS} == 1;
die "another name" unless $ENV{LISTEN_FDNAMES} eq "api";
open(my $socket, "+<&=", 3) or die "descriptor 3: $!";
accept(my $peer, $socket) or die "accept: $!";
sysread($peer, my $request, 4096);
my ($path) = $request =~ /^GET (\S+)/;
syswrite($peer, "HTTP/1.0 200 OK\r\nContent-Length: " . length($path) . "\r\n\r\n$path");
