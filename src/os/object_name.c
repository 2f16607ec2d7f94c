/* Names of functions for messages, from the symbol tables of ELF files.
 *
 * The files are read with pread, a piece at a time, never mapped: one that is
 * truncated meanwhile is a short read, not a SIGBUS. Every offset and size in
 * them is taken for a claim: what lies outside the file is not there. */
#include "os/object_parts.h"

#include <crew/task.h>
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_MAX_BYTES = 512, SYMBOLS_AT_ONCE = 256, NOTES_AT_ONCE = 4096 };

struct elf {
    int fd;
    uint64_t size;
    ElfW(Ehdr) head;
};

/* All of it, or nothing. */
static bool read_at(const struct elf *elf, void *buf, uint64_t size, uint64_t offset) {
    if (offset > elf->size || size > elf->size - offset)
        return false;
    char *to = buf;
    while (size > 0) {
        ssize_t n = pread(elf->fd, to, (size_t)size, (off_t)offset);
        if (n <= 0)
            return false;
        to += n;
        offset += (uint64_t)n;
        size -= (uint64_t)n;
    }
    return true;
}

static bool open_elf(struct elf *elf, const char *path) {
    /* Not blocking: a name may by now be that of a pipe. */
    elf->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (elf->fd < 0)
        return false;
    struct stat st;
    const ElfW(Ehdr) *head = &elf->head;
    if (fstat(elf->fd, &st) == 0 && S_ISREG(st.st_mode)) {
        elf->size = (uint64_t)st.st_size;
        if (read_at(elf, &elf->head, sizeof elf->head, 0) &&
            memcmp(head->e_ident, ELFMAG, SELFMAG) == 0 &&
            head->e_ident[EI_CLASS] == (sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32) &&
            head->e_ident[EI_DATA] ==
                (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB))
            return true;
    }
    close(elf->fd);
    return false;
}

/* False if the file has a build-id and it is another one. */
static bool same_build(const struct elf *elf, uint64_t object) {
    ElfW(Phdr) part;
    if (elf->head.e_phentsize != sizeof part)
        return true;
    for (int i = 0; i < elf->head.e_phnum; i++) {
        if (!read_at(elf, &part, sizeof part, elf->head.e_phoff + (uint64_t)i * sizeof part))
            return true;
        unsigned char notes[NOTES_AT_ONCE];
        if (part.p_type != PT_NOTE || part.p_filesz > sizeof notes ||
            !read_at(elf, notes, part.p_filesz, part.p_offset))
            continue;
        uint64_t id = cw_object_build_id(notes, (size_t)part.p_filesz, part.p_align);
        if (id)
            return id == object;
    }
    return true;
}

static bool section(const struct elf *elf, uint64_t i, ElfW(Shdr) * header) {
    uint64_t at = i * sizeof *header; /* i fits 32 bits */
    return elf->head.e_shentsize == sizeof *header && at <= UINT64_MAX - elf->head.e_shoff &&
           read_at(elf, header, sizeof *header, elf->head.e_shoff + at);
}

/* Whether `offset` is in the function that a symbol stands for. */
static bool holds(const ElfW(Sym) * symbol, uint64_t offset) {
    int type = symbol->st_info & 15;
    if (type != STT_FUNC && type != STT_GNU_IFUNC)
        return false;
    if (symbol->st_value == offset)
        return true; /* also an undefined one: the stub that stands for it here */
    return symbol->st_shndx != SHN_UNDEF && offset > symbol->st_value &&
           offset - symbol->st_value < symbol->st_size;
}

/* The symbol that holds the offset and begins last. */
static bool scan(const struct elf *elf, const ElfW(Shdr) * table, uint64_t offset,
                 ElfW(Sym) * best) {
    ElfW(Sym) symbols[SYMBOLS_AT_ONCE];
    if (table->sh_entsize != sizeof *symbols || table->sh_offset > elf->size)
        return false;
    uint64_t left = table->sh_size;
    if (left > elf->size - table->sh_offset)
        left = elf->size - table->sh_offset;
    left /= sizeof *symbols;
    bool found = false;
    for (uint64_t at = table->sh_offset; left > 0;) {
        uint64_t n = left < SYMBOLS_AT_ONCE ? left : SYMBOLS_AT_ONCE;
        if (!read_at(elf, symbols, n * sizeof *symbols, at))
            return found;
        for (uint64_t i = 0; i < n; i++)
            if (symbols[i].st_name && holds(&symbols[i], offset) &&
                (!found || symbols[i].st_value > best->st_value)) {
                *best = symbols[i];
                found = true;
            }
        at += n * sizeof *symbols;
        left -= n;
    }
    return found;
}

/* A symbol's name, fit to be shown. */
static bool read_name(const struct elf *elf, const ElfW(Shdr) * strings, uint64_t at, char *buf,
                      size_t cap) {
    char name[NAME_MAX_BYTES];
    if (at >= strings->sh_size || strings->sh_offset > elf->size)
        return false;
    uint64_t size = strings->sh_size - at;
    if (at > elf->size - strings->sh_offset)
        return false;
    if (size > elf->size - strings->sh_offset - at)
        size = elf->size - strings->sh_offset - at;
    if (size > sizeof name)
        size = sizeof name;
    if (!read_at(elf, name, size, strings->sh_offset + at))
        return false;
    size_t length = strnlen(name, (size_t)size);
    if (length == size && size < sizeof name)
        return false; /* the table ends before the name does */
    /* What a compiler adds to the name of a copy it made: f.constprop.0 */
    const char *dot = memchr(name, '.', length);
    if (dot && dot > name)
        length = (size_t)(dot - name);
    for (size_t i = 0; i < length; i++)
        if (!isgraph((unsigned char)name[i]) && !((unsigned char)name[i] & 0x80))
            return false;
    if (length == 0)
        return false;
    if (length >= cap)
        length = cap - 1;
    memcpy(buf, name, length);
    buf[length] = '\0';
    return true;
}

bool cw_object_symbol(const char *path, uint64_t object, uint64_t offset, char *buf, size_t cap) {
    struct elf elf;
    if (cap == 0 || !open_elf(&elf, path))
        return false;
    bool found = false;
    ElfW(Shdr) table, strings;
    uint64_t count = elf.head.e_shnum;
    if (count == 0 && elf.head.e_shoff && section(&elf, 0, &table))
        count = table.sh_size; /* more sections than the header has room for */
    if (count > UINT32_MAX || !same_build(&elf, object))
        count = 0;
    /* The whole table first, then the one that stripping leaves. A file has one
     * of each: more are not looked at, whatever it says. */
    for (int pass = 0; pass < 2 && !found; pass++) {
        for (uint64_t i = 0; i < count && section(&elf, i, &table); i++) {
            if (table.sh_type != (pass == 0 ? SHT_SYMTAB : SHT_DYNSYM))
                continue;
            ElfW(Sym) symbol;
            found = table.sh_link < count && section(&elf, table.sh_link, &strings) &&
                    strings.sh_type == SHT_STRTAB && scan(&elf, &table, offset, &symbol) &&
                    read_name(&elf, &strings, symbol.st_name, buf, cap);
            break;
        }
    }
    close(elf.fd);
    return found;
}

void cw_fn_describe(cw_fn *fn, char *buf, size_t cap) {
    if (cap == 0)
        return;
    const crew_task_info *info = cw_fn_info(fn);
    if (info && info->name) {
        snprintf(buf, cap, "%s", info->name);
        return;
    }
    if (!fn) {
        snprintf(buf, cap, "NULL");
        return;
    }
    struct cw_object_place place;
    cw_object_place((uintptr_t)fn, &place);
    if (!place.object) {
        snprintf(buf, cap, "0x%" PRIxPTR, (uintptr_t)fn);
        return;
    }
    char name[NAME_MAX_BYTES];
    if (place.code && cw_object_symbol(*place.path ? place.path : "/proc/self/exe", place.object,
                                       place.offset, name, sizeof name)) {
        size_t size = strlen(name);
        const char tail[] = "_task"; /* what the macros append */
        if (size >= sizeof tail && !strcmp(name + size - (sizeof tail - 1), tail))
            name[size - (sizeof tail - 1)] = '\0';
        snprintf(buf, cap, "%s", name);
        return;
    }
    cw_object_title(place.path, name, sizeof name);
    snprintf(buf, cap, "%s+0x%" PRIx64, name, place.offset);
}
