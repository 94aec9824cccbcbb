/* What of each file is on the disk for certain: every sync is written down with the path and the size of its file, and every write to a
   file that syncs its writes with the path, its beginning and its end, in lines "<from> <end> <path>". Loaded before the libraries of the
   process that is looked at (LD_PRELOAD); SYNCED_LOG names where it is written. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static void note(int fd, long long from, long long end) {
  char link[64], path[4096], line[4352];
  const char *log = getenv("SYNCED_LOG");
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (log == NULL || length < 0) return;
  path[length] = 0;
  int bytes = snprintf(line, sizeof line, "%lld %lld %s\n", from, end, path);
  int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (out < 0) return;
  if (write(out, line, (size_t)bytes) != bytes) abort();
  close(out);
}

static int sync_with(const char *name, int fd) {
  struct stat before;
  int known = fstat(fd, &before);
  int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  int result = real(fd);
  /* What is written while it syncs may not be on the disk yet. */
  if (result == 0 && known == 0) note(fd, 0, (long long)before.st_size);
  return result;
}

int fdatasync(int fd) { return sync_with("fdatasync", fd); }
int fsync(int fd) { return sync_with("fsync", fd); }

static void note_write(int fd, off_t from, ssize_t written) {
  int flags = fcntl(fd, F_GETFL);
  if (written > 0 && flags >= 0 && (flags & O_DSYNC) != 0) note(fd, (long long)from, (long long)from + written);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t from) {
  ssize_t (*real)(int, const void *, size_t, off_t) = (ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
  ssize_t written = real(fd, bytes, length, from);
  note_write(fd, from, written);
  return written;
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t from) {
  ssize_t (*real)(int, const struct iovec *, int, off_t) =
      (ssize_t (*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, "pwritev64");
  ssize_t written = real(fd, parts, count, from);
  note_write(fd, from, written);
  return written;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t from) { return pwrite64(fd, bytes, length, from); }
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t from) { return pwritev64(fd, parts, count, from); }
