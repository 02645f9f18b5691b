"""Changes rows in every way that Django has: pages that show them are fresh at the next read, others stay cached."""

import datetime
from decimal import Decimal

from django.db.models import F
from shop.models import Book, Note, Special
from shop_before import Page, author, book, country, tag

NOON = datetime.datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=datetime.timezone.utc)


def test_a_save_takes_the_pages_that_show_the_row(shop):
    one, two = author(), author()
    changed, other = book(one), book(two)
    with shop.changes(
        goes=[Page("book", changed.pk), Page("author", one.pk), Page("author", one.pk, 2)],
        stays=[Page("book", other.pk), Page("author", two.pk), Page("state", "draft")],
    ):
        changed.title = "new"
        changed.save()


def test_a_create_appears_and_a_column_that_nobody_watches_disturbs_nobody(shop):
    one, two = author(), author()
    with shop.changes(goes=[Page("author", one.pk)], stays=[Page("author", two.pk)]):
        made = Book.objects.create(title="new", author=one)
    made = Book.objects.get(pk=made.pk)
    with shop.changes(goes=[Page("book", made.pk)], stays=[Page("author", one.pk), Page("author", two.pk)]):
        made.stock = 7
        made.save(update_fields=["stock"])


def test_a_move_takes_the_pages_of_both_authors_and_of_both_countries(shop):
    here, there, elsewhere = country(), country(), country()
    old, new, other = author(of=here), author(of=there), author(of=elsewhere)
    moved = book(old)
    book(other)
    with shop.changes(
        goes=[Page("author", old.pk), Page("author", new.pk), Page("country", here.pk), Page("country", there.pk)],
        stays=[Page("author", other.pk), Page("country", elsewhere.pk)],
    ):
        moved.author = new
        moved.save()


def test_books_move_from_the_end_of_their_authors_as_well(shop):
    old, new, other = author(), author(), author()
    moved, neighbour = book(old), book(other)
    stays = [Page("author", other.pk), Page("book", neighbour.pk)]
    with shop.changes(goes=[Page("author", old.pk), Page("author", new.pk), Page("book", moved.pk)], stays=stays):
        new.books.add(moved)
    with shop.changes(goes=[Page("author", new.pk), Page("book", moved.pk)], stays=[*stays, Page("author", old.pk)]):
        new.books.clear()


def test_a_move_to_nobody_takes_the_pages_that_it_leaves(shop):
    here, elsewhere = country(), country()
    old, other = author(of=here), author(of=elsewhere)
    moved = book(old)
    with shop.changes(
        goes=[Page("author", old.pk), Page("country", here.pk)],
        stays=[Page("author", other.pk), Page("country", elsewhere.pk)],
    ):
        moved.author = None
        moved.save()


def test_a_related_row_that_changes_takes_what_is_reached_through_it(shop):
    here, there, elsewhere = country(), country(), country()
    moved = author(of=here)
    shown = book(moved)
    with shop.changes(
        goes=[Page("country", here.pk), Page("country", there.pk)],
        stays=[Page("country", elsewhere.pk), Page("author", moved.pk), Page("book", shown.pk)],
    ):
        moved.country = there
        moved.save()


def test_a_condition_is_asked_of_the_row_before_and_after(shop):
    draft, other = book(), book()
    with shop.changes(goes=[Page("state", "draft"), Page("state", "published")], stays=[Page("state", "gone")]):
        draft.state = "published"
        draft.save()
    with shop.changes(goes=[Page("book", other.pk)], stays=[Page("state", "draft"), Page("state", "published")]):
        other.state = "gone"
        other.save(update_fields=["title"])


def test_decimals_and_times_keep_every_digit(shop):
    priced = book(price="12.5", published_at=NOON)
    later = NOON + datetime.timedelta(microseconds=1)
    with shop.changes(
        goes=[
            Page("price", Decimal("12.50")),
            Page("price", Decimal("13.00")),
            Page("moment", NOON),
            Page("moment", later),
        ],
        stays=[Page("price", Decimal("12.00")), Page("moment", NOON.replace(microsecond=0))],
    ):
        priced.price = 13
        priced.published_at = later.astimezone(datetime.timezone(datetime.timedelta(hours=2)))
        priced.save()


def test_tags_are_added_removed_set_and_cleared_from_the_book(shop):
    new, old, other = tag("new"), tag("old"), tag("other")
    by = author()
    tagged, neighbour = book(by), book(by, tags=[other])
    pages = [Page("tag", "new"), Page("tag", "old"), Page("book", tagged.pk)]
    stays = [Page("tag", "other"), Page("book", neighbour.pk), Page("author", by.pk)]
    with shop.changes(goes=pages, stays=stays):
        tagged.tags.add(new, old)
    with shop.changes(goes=[Page("tag", "old"), Page("book", tagged.pk)], stays=[*stays, Page("tag", "new")]):
        tagged.tags.remove(old)
    with shop.changes(goes=pages, stays=stays):
        tagged.tags.set([old])
    with shop.changes(goes=[Page("tag", "old"), Page("book", tagged.pk)], stays=[*stays, Page("tag", "new")]):
        tagged.tags.clear()


def test_books_are_added_removed_and_cleared_from_the_tag(shop):
    new, other = tag("new"), tag("other")
    one, two, neighbour = book(), book(), book(tags=[other])
    pages = [Page("tag", "new"), Page("book", one.pk), Page("book", two.pk)]
    stays = [Page("tag", "other"), Page("book", neighbour.pk)]
    with shop.changes(goes=pages, stays=stays):
        new.books.add(one, two)
    with shop.changes(goes=pages[:2], stays=[*stays, pages[2]]):
        new.books.remove(one)
    with shop.changes(goes=[pages[0], pages[2]], stays=[*stays, pages[1]]):
        new.books.clear()


def test_a_delete_takes_all_that_showed_the_row_and_its_relations(shop):
    here = country()
    by, other = author(of=here), author()
    gone, neighbour = book(by, tags=[tag("new")]), book(other, tags=[tag("other")])
    with shop.changes(
        goes=[Page("book", gone.pk), Page("author", by.pk), Page("country", here.pk), Page("tag", "new")],
        stays=[Page("book", neighbour.pk), Page("author", other.pk), Page("tag", "other")],
    ):
        gone.delete()
        assert gone.pk is None


def test_a_delete_that_cascades_takes_what_showed_any_of_the_rows(shop):
    here, elsewhere = country(), country()
    by, other = author(of=here), author(of=elsewhere)
    orphan, neighbour = book(by), book(other)
    with shop.changes(
        goes=[Page("country", here.pk), Page("author", by.pk), Page("book", orphan.pk)],
        stays=[Page("country", elsewhere.pk), Page("author", other.pk), Page("book", neighbour.pk)],
        # Those of restflow's own rules, which are not told here.
        batches=None,
    ):
        here.delete()


def test_a_delete_of_what_hangs_off_a_row_takes_the_page_of_the_row(shop):
    noted, neighbour = book(note="n"), book(note="m")
    with shop.changes(goes=[Page("book", noted.pk)], stays=[Page("book", neighbour.pk)]):
        Note.objects.filter(book=noted).delete()


def test_a_deleted_tag_takes_the_pages_of_its_books(shop):
    new, other = tag("new"), tag("other")
    tagged, neighbour = book(tags=[new, other]), book(tags=[other])
    with shop.changes(
        goes=[Page("tag", "new"), Page("book", tagged.pk)], stays=[Page("tag", "other"), Page("book", neighbour.pk)]
    ):
        new.delete()


def test_a_bulk_update_takes_the_pages_of_every_row_before_and_after(shop):
    old, new, other = author(), author(), author()
    one, two, neighbour = book(old), book(old), book(other)
    with shop.changes(
        goes=[Page("author", old.pk), Page("author", new.pk), Page("book", one.pk), Page("book", two.pk)],
        stays=[Page("author", other.pk), Page("book", neighbour.pk)],
    ):
        Book.objects.filter(author__name="a", author=old).update(author=new, stock=F("stock") + 1)


def test_bulk_create_and_bulk_update_take_the_pages_of_their_rows(shop):
    one, two, other = author(), author(), author()
    with shop.changes(goes=[Page("author", one.pk), Page("author", two.pk)], stays=[Page("author", other.pk)]):
        made = Book.objects.bulk_create([Book(title="new", author=by) for by in (one, two)])
    for row in made:
        row.title = "newer"
    with shop.changes(
        goes=[Page("author", one.pk), Page("book", made[0].pk)],
        stays=[Page("author", two.pk), Page("author", other.pk), Page("book", made[1].pk)],
    ):
        Book.objects.bulk_update(made[:1], ["title"])


def test_a_huge_bulk_write_takes_every_page_of_the_model(shop):
    one, two = author(), author()
    made = [book(one), book(two)]
    with (
        shop.publishing(bulk_rows_max=1),
        shop.changes(
            goes=[Page("author", one.pk), Page("author", two.pk), *(Page("book", row.pk) for row in made)],
            stays=[Page("tag", "new")],
        ),
    ):
        Book.objects.update(title="new")


def test_a_row_that_was_never_loaded_takes_more_rather_than_less(shop):
    old, new, other = author(), author(), author()
    moved, neighbour = book(old), book(other)
    with shop.changes(
        goes=[Page("author", old.pk), Page("author", new.pk), Page("book", moved.pk), Page("author", other.pk)],
        stays=[Page("book", neighbour.pk)],
        widens=True,
    ):
        Book(pk=moved.pk, title="new", author=new).save()


def test_a_proxy_takes_the_pages_of_the_model_behind_it(shop):
    by = author()
    changed, neighbour = book(by), book()
    with shop.changes(goes=[Page("book", changed.pk), Page("author", by.pk)], stays=[Page("book", neighbour.pk)]):
        proxy = Special.objects.get(pk=changed.pk)
        proxy.title = "new"
        proxy.save()
