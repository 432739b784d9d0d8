from django.db import migrations, models


def free_shared(apps, schema_editor):
    """A submission that two people had stays with the first; the others are known by their own id."""
    identities = apps.get_model("participants", "Identity").objects
    seen = set()
    for identity in identities.exclude(submission="").order_by("pk"):
        if identity.submission in seen:
            identities.filter(pk=identity.pk).update(submission="")
        seen.add(identity.submission)


class Migration(migrations.Migration):
    dependencies = [
        ("participants", "0003_withdrawal"),
    ]

    operations = [
        migrations.RunPython(free_shared, migrations.RunPython.noop),
        migrations.AddConstraint(
            model_name="identity",
            constraint=models.UniqueConstraint(
                condition=models.Q(("submission", ""), _negated=True),
                fields=("submission",),
                name="one_person_a_submission",
            ),
        ),
    ]
